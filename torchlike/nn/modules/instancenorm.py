"""Instance normalization.

Reference: https://arxiv.org/abs/1607.08022
"""

from __future__ import annotations

import warnings
from typing import Any

from torchlike._tensor.tensor import Tensor
from torchlike.nn import functional as F

from .batchnorm import _LazyNormBase, _NormBase, check_dim

__all__ = [
    "InstanceNorm1d",
    "InstanceNorm2d",
    "InstanceNorm3d",
    "LazyInstanceNorm1d",
    "LazyInstanceNorm2d",
    "LazyInstanceNorm3d",
]

OLD_RUNNING_STATS = (
    "Unexpected running stats buffer(s) {names} for {klass} "
    "with track_running_stats=False. If state_dict is a "
    "checkpoint saved before 0.4.0, this may be expected "
    "because {klass} does not track running stats by default "
    "since 0.4.0. Please remove these keys from state_dict. If "
    "the running stats are actually needed, instead set "
    "track_running_stats=True in {klass} to enable them. See "
    "the documentation of {klass} for details."
)


class _InstanceNorm(_NormBase):
    def __init__(
        self,
        num_features: int,
        eps: float = 1e-5,
        momentum: float = 0.1,
        affine: bool = False,
        track_running_stats: bool = False,
        device: Any = None,
        dtype: Any = None,
        *,
        bias: bool = True,
    ) -> None:
        super().__init__(
            num_features, eps, momentum, affine, track_running_stats, device=device, dtype=dtype, bias=bias
        )

    def _get_no_batch_dim(self) -> int:
        raise NotImplementedError

    def _handle_no_batch_input(self, input: Tensor) -> Tensor:
        return self._apply_instance_norm(input.unsqueeze(0)).squeeze(0)

    def _apply_instance_norm(self, input: Tensor) -> Tensor:
        return F.instance_norm(
            input,
            self.running_mean,
            self.running_var,
            self.weight,
            self.bias,
            self.training or not self.track_running_stats,
            0.0 if self.momentum is None else self.momentum,
            self.eps,
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
        # Up to PyTorch 0.3 running statistics were always kept.
        if local_metadata.get("version") is None and not self.track_running_stats:
            keys = [prefix + name for name in ("running_mean", "running_var") if prefix + name in state_dict]
            if keys:
                names = " and ".join(f'"{key}"' for key in keys)
                error_msgs.append(OLD_RUNNING_STATS.format(names=names, klass=type(self).__name__))
            for key in keys:
                state_dict.pop(key)
        super()._load_from_state_dict(
            state_dict, prefix, local_metadata, strict, missing_keys, unexpected_keys, error_msgs
        )

    def forward(self, input: Tensor) -> Tensor:
        """The normalized input."""
        self._check_input_dim(input)
        feature_dim = input.dim() - self._get_no_batch_dim()
        features = input.size(feature_dim)
        if features != self.num_features:
            if self.affine:
                raise ValueError(
                    f"expected input's size at dim={feature_dim} to match num_features"
                    f" ({self.num_features}), but got: {features}."
                )
            warnings.warn(
                f"input's size at dim={feature_dim} does not match num_features. "
                "You can silence this warning by not passing in num_features, "
                "which is not used because affine=False",
                stacklevel=2,
            )
        if input.dim() == self._get_no_batch_dim():
            return self._handle_no_batch_input(input)
        return self._apply_instance_norm(input)


class InstanceNorm1d(_InstanceNorm):
    """Normalizes each channel of each signal, (N, C, L) or (C, L), over its length.

    ``y = (x - mean) / sqrt(var + eps) * weight + bias``, with the statistics of the instance; in evaluation mode with
    the running ones if they are tracked.

    Args:
        num_features: C.
        eps: keeps the denominator off 0. Default: 1e-5.
        momentum: share of a batch in the running statistics. Default: 0.1.
        affine: whether there are a weight and a bias. Default: ``False``.
        track_running_stats: keep running statistics, for evaluation mode. Default: ``False``.
        device: device of parameters and buffers.
        dtype: element type of parameters and buffers.
        bias: whether there is a bias. Default: ``True``.
    """

    def _get_no_batch_dim(self) -> int:
        return 2

    def _check_input_dim(self, input: Tensor) -> None:
        check_dim(input, 2, 3)


class InstanceNorm2d(_InstanceNorm):
    """Normalizes each channel of each image, (N, C, H, W) or (C, H, W), over its pixels, as `InstanceNorm1d`.

    Args:
        num_features: C.
        eps: keeps the denominator off 0. Default: 1e-5.
        momentum: share of a batch in the running statistics. Default: 0.1.
        affine: whether there are a weight and a bias. Default: ``False``.
        track_running_stats: keep running statistics, for evaluation mode. Default: ``False``.
        device: device of parameters and buffers.
        dtype: element type of parameters and buffers.
        bias: whether there is a bias. Default: ``True``.
    """

    def _get_no_batch_dim(self) -> int:
        return 3

    def _check_input_dim(self, input: Tensor) -> None:
        check_dim(input, 3, 4)


class InstanceNorm3d(_InstanceNorm):
    """Normalizes each channel of each volume, (N, C, D, H, W) or (C, D, H, W), as `InstanceNorm1d`.

    Args:
        num_features: C.
        eps: keeps the denominator off 0. Default: 1e-5.
        momentum: share of a batch in the running statistics. Default: 0.1.
        affine: whether there are a weight and a bias. Default: ``False``.
        track_running_stats: keep running statistics, for evaluation mode. Default: ``False``.
        device: device of parameters and buffers.
        dtype: element type of parameters and buffers.
        bias: whether there is a bias. Default: ``True``.
    """

    def _get_no_batch_dim(self) -> int:
        return 4

    def _check_input_dim(self, input: Tensor) -> None:
        check_dim(input, 4, 5)


class LazyInstanceNorm1d(_LazyNormBase, _InstanceNorm):
    """An `InstanceNorm1d` that takes ``num_features`` from dimension 1 of its first input."""

    cls_to_become = InstanceNorm1d

    def _get_no_batch_dim(self) -> int:
        return 2

    def _check_input_dim(self, input: Tensor) -> None:
        check_dim(input, 2, 3)


class LazyInstanceNorm2d(_LazyNormBase, _InstanceNorm):
    """An `InstanceNorm2d` that takes ``num_features`` from dimension 1 of its first input."""

    cls_to_become = InstanceNorm2d

    def _get_no_batch_dim(self) -> int:
        return 3

    def _check_input_dim(self, input: Tensor) -> None:
        check_dim(input, 3, 4)


class LazyInstanceNorm3d(_LazyNormBase, _InstanceNorm):
    """An `InstanceNorm3d` that takes ``num_features`` from dimension 1 of its first input."""

    cls_to_become = InstanceNorm3d

    def _get_no_batch_dim(self) -> int:
        return 4

    def _check_input_dim(self, input: Tensor) -> None:
        check_dim(input, 4, 5)
