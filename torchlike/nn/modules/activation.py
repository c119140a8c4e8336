"""Activations, and multi-head attention."""

from __future__ import annotations

import warnings
from typing import Any

import torchlike as torch
from torchlike._tensor.tensor import Tensor
from torchlike.nn import functional as F
from torchlike.nn.init import constant_, xavier_normal_, xavier_uniform_
from torchlike.nn.parameter import Parameter

from .linear import NonDynamicallyQuantizableLinear
from .module import Module

__all__ = [
    "CELU",
    "ELU",
    "GELU",
    "GLU",
    "SELU",
    "Hardshrink",
    "Hardsigmoid",
    "Hardswish",
    "Hardtanh",
    "LeakyReLU",
    "LogSigmoid",
    "LogSoftmax",
    "Mish",
    "MultiheadAttention",
    "PReLU",
    "RReLU",
    "ReLU",
    "ReLU6",
    "SiLU",
    "Sigmoid",
    "Softmax",
    "Softmax2d",
    "Softmin",
    "Softplus",
    "Softshrink",
    "Softsign",
    "Tanh",
    "Tanhshrink",
    "Threshold",
]

# F.softmax and its kin guess a missing dim and warn at this depth: the line that called the module.
SOFTMAX_STACKLEVEL = 5


def _inplace_flag(module: Any, separator: str = "") -> str:
    return f"{separator}inplace=True" if module.inplace else ""


class Threshold(Module):
    """``x if x > threshold else value``, elementwise.

    Args:
        threshold: the least value not to be replaced.
        value: the replacement.
        inplace: write to the input. Default: ``False``.
    """

    __constants__ = ["threshold", "value", "inplace"]
    threshold: float
    value: float
    inplace: bool

    def __init__(self, threshold: float, value: float, inplace: bool = False) -> None:
        super().__init__()
        self.threshold = threshold
        self.value = value
        self.inplace = inplace

    def forward(self, input: Tensor) -> Tensor:
        """The activation of each element."""
        return F.threshold(input, self.threshold, self.value, self.inplace)

    def extra_repr(self) -> str:
        return f"threshold={self.threshold}, value={self.value}{_inplace_flag(self, ', ')}"


class ReLU(Module):
    """``max(0, x)``, elementwise.

    Args:
        inplace: write to the input. Default: ``False``.
    """

    __constants__ = ["inplace"]
    inplace: bool

    def __init__(self, inplace: bool = False) -> None:
        super().__init__()
        self.inplace = inplace

    def forward(self, input: Tensor) -> Tensor:
        """The activation of each element."""
        return F.relu(input, inplace=self.inplace)

    def extra_repr(self) -> str:
        return _inplace_flag(self)


class RReLU(Module):
    """``x if x >= 0 else a x``, elementwise, with ``a`` drawn from ``U(lower, upper)`` while training.

    In evaluation mode, ``a`` is the mean of the bounds.

    Args:
        lower: lower bound. Default: 1/8.
        upper: upper bound. Default: 1/3.
        inplace: write to the input. Default: ``False``.

    Reference: https://arxiv.org/abs/1505.00853
    """

    __constants__ = ["lower", "upper", "inplace"]
    lower: float
    upper: float
    inplace: bool

    def __init__(self, lower: float = 1.0 / 8, upper: float = 1.0 / 3, inplace: bool = False) -> None:
        super().__init__()
        self.lower = lower
        self.upper = upper
        self.inplace = inplace

    def forward(self, input: Tensor) -> Tensor:
        """The activation of each element."""
        return F.rrelu(input, self.lower, self.upper, self.training, self.inplace)

    def extra_repr(self) -> str:
        return f"lower={self.lower}, upper={self.upper}{_inplace_flag(self, ', ')}"


class Hardtanh(Module):
    """``min(max(x, min_val), max_val)``, elementwise.

    Args:
        min_val: lower bound. Default: -1.
        max_val: upper bound. Default: 1.
        inplace: write to the input. Default: ``False``.
        min_value: old name of ``min_val``.
        max_value: old name of ``max_val``.
    """

    __constants__ = ["min_val", "max_val", "inplace"]
    min_val: float
    max_val: float
    inplace: bool

    def __init__(
        self,
        min_val: float = -1.0,
        max_val: float = 1.0,
        inplace: bool = False,
        min_value: float | None = None,
        max_value: float | None = None,
    ) -> None:
        super().__init__()
        if min_value is not None:
            warnings.warn(
                "keyword argument `min_value` is deprecated and renamed to `min_val`", FutureWarning, stacklevel=2
            )
            min_val = min_value
        if max_value is not None:
            warnings.warn(
                "keyword argument `max_value` is deprecated and renamed to `max_val`", FutureWarning, stacklevel=2
            )
            max_val = max_value
        self.min_val = min_val
        self.max_val = max_val
        self.inplace = inplace
        if self.max_val <= self.min_val:
            raise AssertionError(f"max_val ({self.max_val}) must be greater than min_val ({self.min_val})")

    def forward(self, input: Tensor) -> Tensor:
        """The activation of each element."""
        return F.hardtanh(input, self.min_val, self.max_val, self.inplace)

    def extra_repr(self) -> str:
        return f"min_val={self.min_val}, max_val={self.max_val}{_inplace_flag(self, ', ')}"


class ReLU6(Hardtanh):
    """``min(max(x, 0), 6)``, elementwise.

    Args:
        inplace: write to the input. Default: ``False``.
    """

    def __init__(self, inplace: bool = False) -> None:
        super().__init__(0.0, 6.0, inplace)

    def extra_repr(self) -> str:
        return _inplace_flag(self)


class Sigmoid(Module):
    """``1 / (1 + exp(-x))``, elementwise."""

    def forward(self, input: Tensor) -> Tensor:
        """The activation of each element."""
        return torch.sigmoid(input)


class Hardsigmoid(Module):
    """``min(max(x / 6 + 1/2, 0), 1)``, elementwise.

    Args:
        inplace: write to the input. Default: ``False``.
    """

    __constants__ = ["inplace"]
    inplace: bool

    def __init__(self, inplace: bool = False) -> None:
        super().__init__()
        self.inplace = inplace

    def forward(self, input: Tensor) -> Tensor:
        """The activation of each element."""
        return F.hardsigmoid(input, self.inplace)


class Tanh(Module):
    """Hyperbolic tangent, elementwise."""

    def forward(self, input: Tensor) -> Tensor:
        """The activation of each element."""
        return torch.tanh(input)


class SiLU(Module):
    """``x sigmoid(x)``, elementwise; also known as swish.

    Args:
        inplace: write to the input. Default: ``False``.
    """

    __constants__ = ["inplace"]
    inplace: bool

    def __init__(self, inplace: bool = False) -> None:
        super().__init__()
        self.inplace = inplace

    def forward(self, input: Tensor) -> Tensor:
        """The activation of each element."""
        return F.silu(input, inplace=self.inplace)

    def extra_repr(self) -> str:
        return _inplace_flag(self)


class Mish(Module):
    """``x tanh(softplus(x))``, elementwise.

    Args:
        inplace: write to the input. Default: ``False``.

    Reference: https://arxiv.org/abs/1908.08681
    """

    __constants__ = ["inplace"]
    inplace: bool

    def __init__(self, inplace: bool = False) -> None:
        super().__init__()
        self.inplace = inplace

    def forward(self, input: Tensor) -> Tensor:
        """The activation of each element."""
        return F.mish(input, inplace=self.inplace)

    def extra_repr(self) -> str:
        return _inplace_flag(self)


class Hardswish(Module):
    """``x min(max(x + 3, 0), 6) / 6``, elementwise.

    Args:
        inplace: write to the input. Default: ``False``.

    Reference: https://arxiv.org/abs/1905.02244
    """

    __constants__ = ["inplace"]
    inplace: bool

    def __init__(self, inplace: bool = False) -> None:
        super().__init__()
        self.inplace = inplace

    def forward(self, input: Tensor) -> Tensor:
        """The activation of each element."""
        return F.hardswish(input, self.inplace)


class ELU(Module):
    """``x if x > 0 else alpha (exp(x) - 1)``, elementwise.

    Args:
        alpha: the negative limit. Default: 1.
        inplace: write to the input. Default: ``False``.

    Reference: https://arxiv.org/abs/1511.07289
    """

    __constants__ = ["alpha", "inplace"]
    alpha: float
    inplace: bool

    def __init__(self, alpha: float = 1.0, inplace: bool = False) -> None:
        super().__init__()
        self.alpha = alpha
        self.inplace = inplace

    def forward(self, input: Tensor) -> Tensor:
        """The activation of each element."""
        return F.elu(input, self.alpha, self.inplace)

    def extra_repr(self) -> str:
        return f"alpha={self.alpha}{_inplace_flag(self, ', ')}"


class CELU(Module):
    """``max(0, x) + min(0, alpha (exp(x / alpha) - 1))``, elementwise.

    Args:
        alpha: the negative limit. Default: 1.
        inplace: write to the input. Default: ``False``.

    Reference: https://arxiv.org/abs/1704.07483
    """

    __constants__ = ["alpha", "inplace"]
    alpha: float
    inplace: bool

    def __init__(self, alpha: float = 1.0, inplace: bool = False) -> None:
        super().__init__()
        self.alpha = alpha
        self.inplace = inplace

    def forward(self, input: Tensor) -> Tensor:
        """The activation of each element."""
        return F.celu(input, self.alpha, self.inplace)

    def extra_repr(self) -> str:
        return f"alpha={self.alpha}{_inplace_flag(self, ', ')}"


class SELU(Module):
    """``scale (max(0, x) + min(0, alpha (exp(x) - 1)))``, elementwise, with the constants of self-normalization.

    Args:
        inplace: write to the input. Default: ``False``.

    Reference: https://arxiv.org/abs/1706.02515
    """

    __constants__ = ["inplace"]
    inplace: bool

    def __init__(self, inplace: bool = False) -> None:
        super().__init__()
        self.inplace = inplace

    def forward(self, input: Tensor) -> Tensor:
        """The activation of each element."""
        return F.selu(input, self.inplace)

    def extra_repr(self) -> str:
        return _inplace_flag(self)


class GLU(Module):
    """``a sigmoid(b)`` for the two halves ``a`` and ``b`` of the input along ``dim``.

    Args:
        dim: the dimension to halve. Default: -1.

    Reference: https://arxiv.org/abs/1612.08083
    """

    __constants__ = ["dim"]
    dim: int

    def __init__(self, dim: int = -1) -> None:
        super().__init__()
        self.dim = dim

    def forward(self, input: Tensor) -> Tensor:
        """The gated half."""
        return F.glu(input, self.dim)

    def extra_repr(self) -> str:
        return f"dim={self.dim}"


class GELU(Module):
    """``x P(X <= x)`` with ``X`` standard normal, elementwise.

    Args:
        approximate: ``"none"`` for the error function, ``"tanh"`` for an approximation. Default: ``"none"``.

    Reference: https://arxiv.org/abs/1606.08415
    """

    __constants__ = ["approximate"]
    approximate: str

    def __init__(self, approximate: str = "none") -> None:
        super().__init__()
        self.approximate = approximate

    def forward(self, input: Tensor) -> Tensor:
        """The activation of each element."""
        return F.gelu(input, approximate=self.approximate)

    def extra_repr(self) -> str:
        return f"approximate={self.approximate!r}"


class Hardshrink(Module):
    """``x if |x| > lambd else 0``, elementwise.

    Args:
        lambd: half the width of the gap. Default: 0.5.
    """

    __constants__ = ["lambd"]
    lambd: float

    def __init__(self, lambd: float = 0.5) -> None:
        super().__init__()
        self.lambd = lambd

    def forward(self, input: Tensor) -> Tensor:
        """The activation of each element."""
        return F.hardshrink(input, self.lambd)

    def extra_repr(self) -> str:
        return f"{self.lambd}"


class LeakyReLU(Module):
    """``max(0, x) + negative_slope min(0, x)``, elementwise.

    Args:
        negative_slope: slope for negative values. Default: 0.01.
        inplace: write to the input. Default: ``False``.
    """

    __constants__ = ["inplace", "negative_slope"]
    inplace: bool
    negative_slope: float

    def __init__(self, negative_slope: float = 1e-2, inplace: bool = False) -> None:
        super().__init__()
        self.negative_slope = negative_slope
        self.inplace = inplace

    def forward(self, input: Tensor) -> Tensor:
        """The activation of each element."""
        return F.leaky_relu(input, self.negative_slope, self.inplace)

    def extra_repr(self) -> str:
        return f"negative_slope={self.negative_slope}{_inplace_flag(self, ', ')}"


class LogSigmoid(Module):
    """``-log(1 + exp(-x))``, elementwise."""

    def forward(self, input: Tensor) -> Tensor:
        """The activation of each element."""
        return F.logsigmoid(input)


class Softplus(Module):
    """``log(1 + exp(beta x)) / beta``, elementwise; ``x`` itself where ``beta x > threshold``.

    Args:
        beta: sharpness. Default: 1.
        threshold: where the function is replaced by the identity. Default: 20.
    """

    __constants__ = ["beta", "threshold"]
    beta: float
    threshold: float

    def __init__(self, beta: float = 1.0, threshold: float = 20.0) -> None:
        super().__init__()
        self.beta = beta
        self.threshold = threshold

    def forward(self, input: Tensor) -> Tensor:
        """The activation of each element."""
        return F.softplus(input, self.beta, self.threshold)

    def extra_repr(self) -> str:
        return f"beta={self.beta}, threshold={self.threshold}"


class Softshrink(Module):
    """``sign(x) max(|x| - lambd, 0)``, elementwise.

    Args:
        lambd: how far values shrink towards 0, not negative. Default: 0.5.
    """

    __constants__ = ["lambd"]
    lambd: float

    def __init__(self, lambd: float = 0.5) -> None:
        super().__init__()
        self.lambd = lambd

    def forward(self, input: Tensor) -> Tensor:
        """The activation of each element."""
        return F.softshrink(input, self.lambd)

    def extra_repr(self) -> str:
        return str(self.lambd)


class MultiheadAttention(Module):
    """Attention of several heads, ``Concat(head_1, ..., head_h) W^O``.

    Each head is scaled dot-product attention of a linear map of the query, the key and the value.

    Args:
        embed_dim: features of the query and of the output, a multiple of ``num_heads``.
        num_heads: number of heads.
        dropout: probability of an attention weight to be dropped while training. Default: 0.
        bias: whether the projections have biases. Default: ``True``.
        add_bias_kv: append a learned element to the key and value sequences. Default: ``False``.
        add_zero_attn: append zeros to the key and value sequences. Default: ``False``.
        kdim: features of the key. Default: ``embed_dim``.
        vdim: features of the value. Default: ``embed_dim``.
        batch_first: whether sequences are (batch, sequence, feature) rather than (sequence, batch, feature).
        device: device of the parameters.
        dtype: element type of the parameters.

    Reference: https://arxiv.org/abs/1706.03762
    """

    __constants__ = ["batch_first"]
    bias_k: Tensor | None
    bias_v: Tensor | None

    def __init__(
        self,
        embed_dim: int,
        num_heads: int,
        dropout: float = 0.0,
        bias: bool = True,
        add_bias_kv: bool = False,
        add_zero_attn: bool = False,
        kdim: int | None = None,
        vdim: int | None = None,
        batch_first: bool = False,
        device: Any = None,
        dtype: Any = None,
    ) -> None:
        if embed_dim <= 0 or num_heads <= 0:
            raise ValueError(
                f"embed_dim and num_heads must be greater than 0,"
                f" got embed_dim={embed_dim} and num_heads={num_heads} instead"
            )
        super().__init__()
        self.embed_dim = embed_dim
        self.kdim = kdim if kdim is not None else embed_dim
        self.vdim = vdim if vdim is not None else embed_dim
        self._qkv_same_embed_dim = self.kdim == embed_dim and self.vdim == embed_dim
        self.num_heads = num_heads
        self.dropout = dropout
        self.batch_first = batch_first
        self.head_dim = embed_dim // num_heads
        if self.head_dim * num_heads != self.embed_dim:
            raise AssertionError("embed_dim must be divisible by num_heads")

        def parameter(*size: int) -> Parameter:
            return Parameter(torch.empty(size, device=device, dtype=dtype))

        if self._qkv_same_embed_dim:
            self.in_proj_weight = parameter(3 * embed_dim, embed_dim)
            for name in ("q_proj_weight", "k_proj_weight", "v_proj_weight"):
                self.register_parameter(name, None)
        else:
            self.q_proj_weight = parameter(embed_dim, embed_dim)
            self.k_proj_weight = parameter(embed_dim, self.kdim)
            self.v_proj_weight = parameter(embed_dim, self.vdim)
            self.register_parameter("in_proj_weight", None)
        if bias:
            self.in_proj_bias = parameter(3 * embed_dim)
        else:
            self.register_parameter("in_proj_bias", None)
        self.out_proj = NonDynamicallyQuantizableLinear(embed_dim, embed_dim, bias=bias, device=device, dtype=dtype)
        if add_bias_kv:
            self.bias_k = parameter(1, 1, embed_dim)
            self.bias_v = parameter(1, 1, embed_dim)
        else:
            self.bias_k = self.bias_v = None
        self.add_zero_attn = add_zero_attn
        self._reset_parameters()

    def _reset_parameters(self) -> None:
        if self._qkv_same_embed_dim:
            xavier_uniform_(self.in_proj_weight)
        else:
            xavier_uniform_(self.q_proj_weight)
            xavier_uniform_(self.k_proj_weight)
            xavier_uniform_(self.v_proj_weight)
        if self.in_proj_bias is not None:
            constant_(self.in_proj_bias, 0.0)
            constant_(self.out_proj.bias, 0.0)
        if self.bias_k is not None:
            xavier_normal_(self.bias_k)
        if self.bias_v is not None:
            xavier_normal_(self.bias_v)

    def __setstate__(self, state: dict[str, Any]) -> None:
        state.setdefault("_qkv_same_embed_dim", True)  # Files of PyTorch 1.1 and older.
        super().__setstate__(state)

    def forward(
        self,
        query: Tensor,
        key: Tensor,
        value: Tensor,
        key_padding_mask: Tensor | None = None,
        need_weights: bool = True,
        attn_mask: Tensor | None = None,
        average_attn_weights: bool = True,
        is_causal: bool = False,
    ) -> tuple[Tensor, Tensor | None]:
        """Attend from ``query`` to ``key`` and gather ``value``.

        Args:
            query: of shape (L, N, E), (N, L, E) with ``batch_first``, or unbatched (L, E).
            key: likewise, (S, N, kdim).
            value: likewise, (S, N, vdim).
            key_padding_mask: (N, S) or (S); true (or ``-inf``, added to the scores) where the key is padding.
            need_weights: return the attention weights too.
            attn_mask: (L, S) or (N x heads, L, S); true where attention is forbidden, or added to the scores.
            average_attn_weights: average the returned weights over the heads.
            is_causal: a hint that ``attn_mask`` is causal; give both.

        Returns the output, of the query's shape, and the weights (N, L, S), with heads (N, heads, L, S), or ``None``.
        """
        is_batched = query.dim() == 3
        key_padding_mask = F._canonical_mask(
            mask=key_padding_mask,
            mask_name="key_padding_mask",
            other_type=F._none_or_dtype(attn_mask),
            other_name="attn_mask",
            target_type=query.dtype,
        )
        attn_mask = F._canonical_mask(
            mask=attn_mask,
            mask_name="attn_mask",
            other_type=None,
            other_name="",
            target_type=query.dtype,
            check_other=False,
        )
        swap = self.batch_first and is_batched
        if swap:
            # One view for each distinct tensor: self-attention is recognised by identity further down.
            views = {id(t): t.transpose(1, 0) for t in (query, key, value)}
            query, key, value = views[id(query)], views[id(key)], views[id(value)]
        separate = {}
        if not self._qkv_same_embed_dim:
            separate = {
                "use_separate_proj_weight": True,
                "q_proj_weight": self.q_proj_weight,
                "k_proj_weight": self.k_proj_weight,
                "v_proj_weight": self.v_proj_weight,
            }
        output, weights = F.multi_head_attention_forward(
            query,
            key,
            value,
            self.embed_dim,
            self.num_heads,
            self.in_proj_weight,
            self.in_proj_bias,
            self.bias_k,
            self.bias_v,
            self.add_zero_attn,
            self.dropout,
            self.out_proj.weight,
            self.out_proj.bias,
            training=self.training,
            key_padding_mask=key_padding_mask,
            need_weights=need_weights,
            attn_mask=attn_mask,
            average_attn_weights=average_attn_weights,
            is_causal=is_causal,
            **separate,
        )
        return (output.transpose(1, 0) if swap else output), weights

    def merge_masks(
        self, attn_mask: Tensor | None, key_padding_mask: Tensor | None, query: Tensor
    ) -> tuple[Tensor | None, int | None]:
        """One mask out of two, with the number of its kind.

        Args:
            attn_mask: (L, L) or (N x heads, L, L), or ``None``.
            key_padding_mask: (N, L), or ``None``.
            query: (N, L, E).

        Returns:
            ``None`` and ``None`` without masks; the padding mask and 1 if it is alone; else the sum of both, of shape
            (N, heads, L, L), and 2.
        """
        if attn_mask is None:
            return key_padding_mask, (None if key_padding_mask is None else 1)
        batch, length, _ = query.shape
        if attn_mask.dim() == 3:
            merged = attn_mask.view(batch, -1, length, length)
        else:
            merged = attn_mask.view(1, 1, length, length).expand(batch, self.num_heads, -1, -1)
        if key_padding_mask is not None:
            merged = merged + key_padding_mask.view(batch, 1, 1, length).expand(-1, self.num_heads, -1, -1)
        return merged, 2


class PReLU(Module):
    """``max(0, x) + a min(0, x)``, elementwise, with a learned slope ``a``.

    Args:
        num_parameters: 1 for a common slope, or the number of channels. Default: 1.
        init: initial value of ``a``. Default: 0.25.
        device: device of the parameter.
        dtype: element type of the parameter.

    Attributes:
        weight: ``a``, of shape (num_parameters,).

    Reference: https://arxiv.org/abs/1502.01852
    """

    __constants__ = ["num_parameters"]
    num_parameters: int

    def __init__(self, num_parameters: int = 1, init: float = 0.25, device: Any = None, dtype: Any = None) -> None:
        super().__init__()
        self.num_parameters = num_parameters
        self.init = init
        self.weight = Parameter(torch.empty(num_parameters, device=device, dtype=dtype))
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Set the slope back to its initial value."""
        constant_(self.weight, self.init)

    def forward(self, input: Tensor) -> Tensor:
        """The activation of each element; channels are dimension 1."""
        return F.prelu(input, self.weight)

    def extra_repr(self) -> str:
        return f"num_parameters={self.num_parameters}"


class Softsign(Module):
    """``x / (1 + |x|)``, elementwise."""

    def forward(self, input: Tensor) -> Tensor:
        """The activation of each element."""
        return F.softsign(input)


class Tanhshrink(Module):
    """``x - tanh(x)``, elementwise."""

    def forward(self, input: Tensor) -> Tensor:
        """The activation of each element."""
        return F.tanhshrink(input)


class _SoftmaxNd(Module):
    __constants__ = ["dim"]
    dim: int | None

    def __init__(self, dim: int | None = None) -> None:
        super().__init__()
        self.dim = dim

    def __setstate__(self, state: dict[str, Any]) -> None:
        super().__setstate__(state)
        self.__dict__.setdefault("dim", None)

    def extra_repr(self) -> str:
        return f"dim={self.dim}"


class Softmin(_SoftmaxNd):
    """``exp(-x_i) / sum_j exp(-x_j)`` along ``dim``.

    Args:
        dim: the dimension that sums to 1.
    """

    def forward(self, input: Tensor) -> Tensor:
        """The weights, of the input's shape."""
        return F.softmin(input, self.dim, _stacklevel=SOFTMAX_STACKLEVEL)


class Softmax(_SoftmaxNd):
    """``exp(x_i) / sum_j exp(x_j)`` along ``dim``.

    Args:
        dim: the dimension that sums to 1.
    """

    def forward(self, input: Tensor) -> Tensor:
        """The weights, of the input's shape."""
        return F.softmax(input, self.dim, _stacklevel=SOFTMAX_STACKLEVEL)


class Softmax2d(Module):
    """`Softmax` over the channels at each pixel of images of shape (N, C, H, W) or (C, H, W)."""

    def forward(self, input: Tensor) -> Tensor:
        """The weights, of the input's shape."""
        if input.dim() not in (3, 4):
            raise ValueError(f"Softmax2d: expected input to be 3D or 4D, got {input.dim()}D instead")
        return F.softmax(input, -3, _stacklevel=SOFTMAX_STACKLEVEL)


class LogSoftmax(_SoftmaxNd):
    """``log(exp(x_i) / sum_j exp(x_j))`` along ``dim``.

    Args:
        dim: the dimension whose exponentials sum to 1.
    """

    def forward(self, input: Tensor) -> Tensor:
        """The logarithms of the weights, of the input's shape."""
        return F.log_softmax(input, self.dim, _stacklevel=SOFTMAX_STACKLEVEL)
