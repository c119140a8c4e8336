"""Batch normalization, and what instance normalization shares with it.

Reference: https://arxiv.org/abs/1502.03167
"""

from __future__ import annotations

import sys
from typing import Any

import torchlike as torch
from torchlike._tensor.tensor import Tensor
from torchlike.nn import functional as F
from torchlike.nn import init
from torchlike.nn.parameter import Parameter, UninitializedBuffer, UninitializedParameter

from .lazy import LazyModuleMixin
from .module import Module

__all__ = [
    "BatchNorm1d",
    "BatchNorm2d",
    "BatchNorm3d",
    "LazyBatchNorm1d",
    "LazyBatchNorm2d",
    "LazyBatchNorm3d",
    "SyncBatchNorm",
]


def check_dim(input: Tensor, *dims: int) -> None:
    """Raise a ValueError unless the input has one of the given numbers of dimensions."""
    if input.dim() not in dims:
        expected = " or ".join(f"{dim}D" for dim in dims)
        raise ValueError(f"expected {expected} input (got {input.dim()}D input)")


class _NormBase(Module):
    """Parameters and running statistics, one value for each feature."""

    _version = 2  # Since version 2 there is num_batches_tracked.
    __constants__ = ["track_running_stats", "momentum", "eps", "num_features", "affine"]
    num_features: int
    eps: float
    momentum: float | None
    affine: bool
    track_running_stats: bool

    def __init__(
        self,
        num_features: int,
        eps: float = 1e-5,
        momentum: float | None = 0.1,
        affine: bool = True,
        track_running_stats: bool = True,
        device: Any = None,
        dtype: Any = None,
        *,
        bias: bool = True,
    ) -> None:
        super().__init__()
        self.num_features = num_features
        self.eps = eps
        self.momentum = momentum
        self.affine = affine
        self.track_running_stats = track_running_stats
        for name, present in (("weight", affine), ("bias", affine and bias)):
            empty = torch.empty(num_features, device=device, dtype=dtype) if present else None
            self.register_parameter(name, None if empty is None else Parameter(empty))
        if track_running_stats:
            self.register_buffer("running_mean", torch.zeros(num_features, device=device, dtype=dtype))
            self.register_buffer("running_var", torch.ones(num_features, device=device, dtype=dtype))
            self.register_buffer("num_batches_tracked", torch.tensor(0, dtype=torch.long, device=device))
        else:
            for name in ("running_mean", "running_var", "num_batches_tracked"):
                self.register_buffer(name, None)
        self.reset_parameters()

    def reset_running_stats(self) -> None:
        """Set the running mean to 0, the running variance to 1 and the count of batches to 0."""
        if self.track_running_stats:
            self.running_mean.zero_()
            self.running_var.fill_(1)
            self.num_batches_tracked.zero_()

    def reset_parameters(self) -> None:
        """Set the statistics back, the weight to 1 and the bias to 0."""
        self.reset_running_stats()
        if self.affine:
            init.ones_(self.weight)
            if self.bias is not None:
                init.zeros_(self.bias)

    def _check_input_dim(self, input: Tensor) -> None:
        raise NotImplementedError

    def extra_repr(self) -> str:
        return (
            f"{self.num_features}, eps={self.eps}, momentum={self.momentum}, affine={self.affine}, "
            f"bias={self.bias is not None}, track_running_stats={self.track_running_stats}"
        )

    def _load_from_state_dict(
        self,
        state_dict: dict[str, Any],
        prefix: str,
        local_metadata: dict[str, Any],
        strict: bool,
        missing_keys: list[str],
        unexpected_keys: list[str],
        error_msgs: list[str],
    ) -> None:
        version = local_metadata.get("version")
        if (version is None or version < 2) and self.track_running_stats:
            count = self.num_batches_tracked
            if count is None or count.is_meta:
                count = torch.tensor(0, dtype=torch.long)
            state_dict.setdefault(prefix + "num_batches_tracked", count)
        super()._load_from_state_dict(
            state_dict, prefix, local_metadata, strict, missing_keys, unexpected_keys, error_msgs
        )


class _BatchNorm(_NormBase):
    def __init__(
        self,
        num_features: int,
        eps: float = 1e-5,
        momentum: float | None = 0.1,
        affine: bool = True,
        track_running_stats: bool = True,
        device: Any = None,
        dtype: Any = None,
        *,
        bias: bool = True,
    ) -> None:
        super().__init__(
            num_features, eps, momentum, affine, track_running_stats, device=device, dtype=dtype, bias=bias
        )

    def _count_batch(self) -> float:
        """Count a training batch, and return the share of its statistics in the running ones."""
        factor = 0.0 if self.momentum is None else self.momentum
        if self.training and self.track_running_stats and self.num_batches_tracked is not None:
            self.num_batches_tracked.add_(1)
            if self.momentum is None:  # A cumulative average.
                factor = 1.0 / float(self.num_batches_tracked)
        return factor

    def _normalize(self, input: Tensor, factor: float) -> Tensor:
        buffers, parameters = self._buffers, self._parameters
        try:
            mean, var = buffers["running_mean"], buffers["running_var"]
            weight, bias = parameters["weight"], parameters["bias"]
        except KeyError:  # Moved elsewhere, by a parametrization for instance.
            mean, var, weight, bias = self.running_mean, self.running_var, self.weight, self.bias
        # Running statistics are used in evaluation mode, and updated in training mode if they are tracked.
        batch_statistics = self.training or (mean is None and var is None)
        if self.training and not self.track_running_stats:
            mean = var = None
        return F.batch_norm(input, mean, var, weight, bias, batch_statistics, factor, self.eps)

    def forward(self, input: Tensor) -> Tensor:
        """The normalized input."""
        self._check_input_dim(input)
        return self._normalize(input, self._count_batch())


class _LazyNormBase(LazyModuleMixin, _NormBase):
    weight: UninitializedParameter
    bias: UninitializedParameter

    def __init__(
        self,
        eps: float = 1e-5,
        momentum: float | None = 0.1,
        affine: bool = True,
        track_running_stats: bool = True,
        device: Any = None,
        dtype: Any = None,
        *,
        bias: bool = True,
    ) -> None:
        # Neither affine nor tracking, since there is no shape for these tensors yet.
        super().__init__(0, eps, momentum, False, False, device=device, dtype=dtype, bias=False)
        self.affine = affine
        self.track_running_stats = track_running_stats
        if self.affine:
            self.weight = UninitializedParameter(device=device, dtype=dtype)
            if bias:
                self.bias = UninitializedParameter(device=device, dtype=dtype)
        if self.track_running_stats:
            self.running_mean = UninitializedBuffer(device=device, dtype=dtype)
            self.running_var = UninitializedBuffer(device=device, dtype=dtype)
            self.num_batches_tracked = torch.tensor(0, dtype=torch.long, device=device)

    def reset_parameters(self) -> None:
        """Set parameters and statistics back, if they have shapes."""
        if not self.has_uninitialized_params() and self.num_features != 0:
            super().reset_parameters()

    def initialize_parameters(self, input: Tensor) -> None:
        """Take ``num_features`` from ``input``."""
        if not self.has_uninitialized_params():
            return
        self.num_features = input.shape[1]
        if self.affine:
            if not isinstance(self.weight, UninitializedParameter):
                raise AssertionError("self.weight must be an UninitializedParameter")
            self.weight.materialize((self.num_features,))
            if self.bias is not None:
                if not isinstance(self.bias, UninitializedParameter):
                    raise AssertionError("self.bias must be an UninitializedParameter")
                self.bias.materialize((self.num_features,))
        if self.track_running_stats:
            self.running_mean.materialize((self.num_features,))
            self.running_var.materialize((self.num_features,))
        self.reset_parameters()


class BatchNorm1d(_BatchNorm):
    """Normalizes each feature of inputs of shape (N, C) or (N, C, L) over the batch.

    ``y = (x - mean) / sqrt(var + eps) * weight + bias``, with the statistics of the batch in training mode and the
    running ones in evaluation mode. The batch's variance is the biased one, the running variance the unbiased one.

    Args:
        num_features: C.
        eps: keeps the denominator off 0. Default: 1e-5.
        momentum: share of a batch in the running statistics, ``None`` for a cumulative average. Default: 0.1.
        affine: whether there are a weight and a bias. Default: ``True``.
        track_running_stats: keep running statistics; otherwise the batch's are always used. Default: ``True``.
        device: device of parameters and buffers.
        dtype: element type of parameters and buffers.
        bias: whether there is a bias. Default: ``True``.

    Attributes:
        weight: of shape (C,), initially 1.
        bias: of shape (C,), initially 0.
        running_mean: buffer of shape (C,), initially 0.
        running_var: buffer of shape (C,), initially 1.
        num_batches_tracked: buffer, the number of training batches so far.
    """

    def _check_input_dim(self, input: Tensor) -> None:
        check_dim(input, 2, 3)


class BatchNorm2d(_BatchNorm):
    """Normalizes each channel of images (N, C, H, W) over batch, height and width; otherwise as `BatchNorm1d`.

    Args:
        num_features: C.
        eps: keeps the denominator off 0. Default: 1e-5.
        momentum: share of a batch in the running statistics, ``None`` for a cumulative average. Default: 0.1.
        affine: whether there are a weight and a bias. Default: ``True``.
        track_running_stats: keep running statistics; otherwise the batch's are always used. Default: ``True``.
        device: device of parameters and buffers.
        dtype: element type of parameters and buffers.
        bias: whether there is a bias. Default: ``True``.
    """

    def _check_input_dim(self, input: Tensor) -> None:
        check_dim(input, 4)


class BatchNorm3d(_BatchNorm):
    """Normalizes each channel of volumes (N, C, D, H, W) over all other dimensions; otherwise as `BatchNorm1d`.

    Args:
        num_features: C.
        eps: keeps the denominator off 0. Default: 1e-5.
        momentum: share of a batch in the running statistics, ``None`` for a cumulative average. Default: 0.1.
        affine: whether there are a weight and a bias. Default: ``True``.
        track_running_stats: keep running statistics; otherwise the batch's are always used. Default: ``True``.
        device: device of parameters and buffers.
        dtype: element type of parameters and buffers.
        bias: whether there is a bias. Default: ``True``.
    """

    def _check_input_dim(self, input: Tensor) -> None:
        check_dim(input, 5)


class LazyBatchNorm1d(_LazyNormBase, _BatchNorm):
    """A `BatchNorm1d` that takes ``num_features`` from its first input; the other arguments are the same."""

    cls_to_become = BatchNorm1d

    def _check_input_dim(self, input: Tensor) -> None:
        check_dim(input, 2, 3)


class LazyBatchNorm2d(_LazyNormBase, _BatchNorm):
    """A `BatchNorm2d` that takes ``num_features`` from its first input; the other arguments are the same."""

    cls_to_become = BatchNorm2d

    def _check_input_dim(self, input: Tensor) -> None:
        check_dim(input, 4)


class LazyBatchNorm3d(_LazyNormBase, _BatchNorm):
    """A `BatchNorm3d` that takes ``num_features`` from its first input; the other arguments are the same."""

    cls_to_become = BatchNorm3d

    def _check_input_dim(self, input: Tensor) -> None:
        check_dim(input, 5)


class SyncBatchNorm(_BatchNorm):
    """`BatchNorm1d` of inputs of any dimension, with the statistics of the batches of all processes together.

    Args:
        num_features: C, the size of dimension 1.
        eps: keeps the denominator off 0. Default: 1e-5.
        momentum: share of a batch in the running statistics, ``None`` for a cumulative average. Default: 0.1.
        affine: whether there are a weight and a bias. Default: ``True``.
        track_running_stats: keep running statistics; otherwise the batch's are always used. Default: ``True``.
        process_group: the processes that share statistics. Default: all.
        device: device of parameters and buffers.
        dtype: element type of parameters and buffers.
        bias: whether there is a bias. Default: ``True``.
    """

    def __init__(
        self,
        num_features: int,
        eps: float = 1e-5,
        momentum: float | None = 0.1,
        affine: bool = True,
        track_running_stats: bool = True,
        process_group: Any = None,
        device: Any = None,
        dtype: Any = None,
        *,
        bias: bool = True,
    ) -> None:
        super().__init__(
            num_features, eps, momentum, affine, track_running_stats, device=device, dtype=dtype, bias=bias
        )
        self.process_group = process_group

    def _check_input_dim(self, input: Tensor) -> None:
        if input.dim() < 2:
            raise ValueError(f"expected at least 2D input (got {input.dim()}D input)")

    def _check_non_zero_input_channels(self, input: Tensor) -> None:
        if input.size(1) == 0:
            raise ValueError("SyncBatchNorm number of input channels should be non-zero")

    def forward(self, input: Tensor) -> Tensor:
        """The normalized input."""
        self._check_input_dim(input)
        self._check_non_zero_input_channels(input)
        factor = self._count_batch()
        distributed = sys.modules.get("torchlike.distributed")
        if self.training and distributed is not None and distributed.is_initialized():
            if input.device.type != "cuda":
                raise ValueError("SyncBatchNorm expected input tensor to be on GPU or XPU or privateuseone")
            group = self.process_group or distributed.group.WORLD
            if distributed.get_world_size(group) > 1:
                return self._synchronized(input, factor, group)
        return self._normalize(input, factor)

    def _synchronized(self, input: Tensor, factor: float, group: Any) -> Tensor:
        """Normalize by the moments of all processes' batches, summed by one collective that gradients pass through."""
        from torchlike.distributed.nn.functional import all_reduce  # type: ignore[misc]

        others = [dim for dim in range(input.dim()) if dim != 1]
        shape = [1, -1] + [1] * (input.dim() - 2)
        count = input.new_full((1,), input.numel() // input.size(1))
        sums = torch.cat([input.sum(others), (input * input).sum(others), count])
        total, squares, (count,) = all_reduce(sums, group=group).split([self.num_features, self.num_features, 1])
        mean = total / count
        var = squares / count - mean * mean
        if self.track_running_stats and self.running_mean is not None:
            with torch.no_grad():
                self.running_mean.lerp_(mean, factor)
                self.running_var.lerp_(var * (count / (count - 1)), factor)
        output = (input - mean.view(shape)) * torch.rsqrt(var + self.eps).view(shape)
        if self.weight is not None:
            output = output * self.weight.view(shape)
        return output if self.bias is None else output + self.bias.view(shape)

    @classmethod
    def convert_sync_batchnorm(cls, module: Module, process_group: Any = None) -> Module:
        """Replace all batch normalization layers below ``module`` (or the module itself) by synchronized ones.

        Args:
            module: the model.
            process_group: the processes that share statistics. Default: all.

        Returns the model, or a new layer if the model itself is a batch normalization layer.
        """
        converted = module
        if isinstance(module, _BatchNorm):
            converted = SyncBatchNorm(
                module.num_features,
                module.eps,
                module.momentum,
                module.affine,
                module.track_running_stats,
                process_group,
                bias=module.bias is not None,
            )
            if module.affine:
                converted.weight = module.weight
                converted.bias = module.bias
            converted.running_mean = module.running_mean
            converted.running_var = module.running_var
            converted.num_batches_tracked = module.num_batches_tracked
            converted.training = module.training
            if hasattr(module, "qconfig"):
                converted.qconfig = module.qconfig
        for name, child in module.named_children():
            converted.add_module(name, cls.convert_sync_batchnorm(child, process_group))
        return converted
