"""Attention: scaled dot products of queries and keys weigh values; and attention with many heads."""

from __future__ import annotations

import functools
import math
import warnings
from collections.abc import Sequence
from typing import Any

import jax
import numpy as np
from jax import lax

from torchlike._ops.bodies import INT64, convert, type_name_of, widened
from torchlike._ops.dropout import mask_of as dropout_mask
from torchlike._ops.joining import cat
from torchlike._ops.matmul import baddbmm, bmm, c_name, linear
from torchlike._ops.op import REGISTRY, Array, broadcast_shapes, composite, op
from torchlike._ops.op import _broadcast as broadcast
from torchlike._tensor.tensor import Tensor, from_array

_F = ("nn.functional",)


# Rows of weights.


@functools.partial(jax.custom_vjp, nondiff_argnums=(1,))
def _weights(scores, may_be_masked):
    """Softmax along the last dimension; zeros where a row is all minus infinity."""
    axes, n = (scores.ndim - 1,), scores.ndim
    top = lax.reduce_max(scores, axes)
    if may_be_masked:
        top = lax.select(lax.eq(top, lax.full_like(top, -math.inf)), lax.full_like(top, 0), top)
    spread = lambda small: lax.broadcast_in_dim(small, scores.shape, tuple(range(n - 1)))  # noqa: E731
    exps = lax.exp(lax.sub(scores, spread(top)))
    total = lax.reduce_sum(exps, axes)
    if may_be_masked:
        total = lax.select(lax.eq(total, lax.full_like(total, 0)), lax.full_like(total, 1), total)
    return lax.div(exps, spread(total))


def _weights_forward(scores, may_be_masked):
    out = _weights(scores, may_be_masked)
    return out, out


def _weights_backward(may_be_masked, out, g):
    weighted = lax.mul(g, out)
    total = lax.reduce_sum(weighted, (out.ndim - 1,))
    return (lax.sub(weighted, lax.mul(out, lax.broadcast_in_dim(total, out.shape, tuple(range(out.ndim - 1))))),)


_weights.defvjp(_weights_forward, _weights_backward)


def _batched_product(a: Any, b: Any, contract: tuple[int, int]) -> Any:
    lead = tuple(range(a.ndim - 2))
    n = len(lead)
    return lax.dot_general(
        a, b, (((n + contract[0],), (n + contract[1],)), (lead, lead)), preferred_element_type=np.dtype(a.dtype)
    )


def _causal(shape: Sequence[int]) -> Any:
    """Where a query may look: at keys that do not come after it."""
    tail = tuple(shape[-2:])
    allowed = lax.ge(lax.broadcasted_iota(INT64, tail, 0), lax.broadcasted_iota(INT64, tail, 1))
    return lax.broadcast_in_dim(allowed, tuple(shape), (len(shape) - 2, len(shape) - 1))


def _limited(scores: Any, mask: Any, is_causal: bool) -> Any:
    """The scores with the mask added, or minus infinity where the mask or the order of time forbids to look."""
    if mask is not None:
        if mask.dtype == np.bool_:
            scores = lax.select(broadcast(mask, scores.shape), scores, lax.full_like(scores, -math.inf))
        else:
            scores = lax.add(scores, broadcast(convert(mask, scores.dtype), scores.shape))
    if is_causal:
        scores = lax.select(_causal(scores.shape), scores, lax.full_like(scores, -math.inf))
    return scores


def _repeated(x: Any, heads: int) -> Any:
    """Each head of keys or values repeated for the queries' heads that share it."""
    axis = x.ndim - 3
    times = heads // x.shape[axis]
    wide = lax.broadcast_in_dim(
        x, (*x.shape[: axis + 1], times, *x.shape[axis + 1 :]), tuple(d for d in range(x.ndim + 1) if d != axis + 1)
    )
    return lax.reshape(wide, (*x.shape[:axis], heads, *x.shape[axis + 1 :]))


def _node(node: str, **_: Any) -> str:
    return node


@op(namespaces=("_private",), name="_attention", node=_node)
def _attention(
    query: Array,
    key: Array,
    value: Array,
    mask: Array | None,
    dropped: Array | None,
    is_causal,
    scale,
    enable_gqa,
    node,
):
    """``softmax(scale * query @ key^T + mask) @ value``."""
    q, k, v = widened(query), widened(key), widened(value)
    if enable_gqa and q.shape[-3] != k.shape[-3]:
        k = _repeated(k, q.shape[-3])
    if enable_gqa and q.shape[-3] != v.shape[-3]:
        v = _repeated(v, q.shape[-3])
    lead = broadcast_shapes([q.shape[:-2], k.shape[:-2], v.shape[:-2]])
    q, k, v = (broadcast(x, (*lead, *x.shape[-2:])) for x in (q, k, v))
    factor = scale if scale is not None else 1 / math.sqrt(q.shape[-1]) if q.shape[-1] else 1.0
    scores = _batched_product(lax.mul(q, lax.full_like(q, factor)), k, (1, 1))
    weights = _weights(_limited(scores, mask, is_causal), mask is not None)
    if dropped is not None:
        weights = lax.mul(weights, convert(dropped, weights.dtype))
    return convert(_batched_product(weights, v, (1, 0)), query.dtype)


_FUSED = "ScaledDotProductFlashAttentionForCpuBackward0"


def _is_fused(q: Tensor, k: Tensor, v: Tensor, mask: Any, dropout_p: float, enable_gqa: bool) -> bool:
    """Whether native PyTorch would take its fused kernel, which is what the node is called after."""
    shapes = [t._spec.shape for t in (q, k, v)]
    if any(len(s) != 4 or 0 in s for s in shapes) or dropout_p > 0:
        return False
    heads_agree = enable_gqa or len({s[1] for s in shapes}) == 1
    if len({s[0] for s in shapes}) != 1 or not heads_agree or shapes[1][3] != shapes[2][3]:
        return False
    return mask is None or (mask._spec.ndim in (2, 4) and not mask.requires_grad)


def _check_attention(q: Any, k: Any, v: Any, mask: Any, is_causal: bool, enable_gqa: bool) -> None:
    for name, t in (("query", q), ("key", k), ("value", v)):
        if not isinstance(t, Tensor):
            at = ("query", "key", "value").index(name) + 1
            raise TypeError(
                f"scaled_dot_product_attention(): argument '{name}' (position {at}) must be Tensor, not {type(t).__name__}"
            )
    if q.dtype is not k.dtype or q.dtype is not v.dtype:
        raise RuntimeError(
            f"Expected query, key, and value to have the same dtype, but got query.dtype: {c_name(q._spec)} key.dtype: "
            f"{c_name(k._spec)} and value.dtype: {c_name(v._spec)} instead."
        )
    if min(t._spec.ndim for t in (q, k, v)) < 2:
        raise RuntimeError(
            "Expected query, key, and value to all be  at least 2 dimensional, but got query.dim: "
            f"{q._spec.ndim} key.dim: {k._spec.ndim} and value.dim: {v._spec.ndim} instead."
        )
    if q._spec.dtype.kind in "iub":
        raise RuntimeError(f"expected scalar type Float but found {type_name_of(q._spec)}")
    if mask is not None:
        if mask._spec.dtype != np.bool_ and mask.dtype is not q.dtype and mask._spec.dtype != np.float32:
            names = {"long long": "long int"}
            have, want = (names.get(c_name(t._spec), c_name(t._spec)) for t in (mask, q))
            raise RuntimeError(
                "Expected attn_mask dtype to be bool or float or to match query dtype, but got attn_mask.dtype: "
                f"{have} and  query.dtype: {want} instead."
            )
        if mask._spec.ndim < 2:
            raise IndexError(
                f"Dimension out of range (expected to be in range of [{-max(mask._spec.ndim, 1)}, "
                f"{max(mask._spec.ndim, 1) - 1}], but got -2)"
            )
    if enable_gqa and min(t._spec.ndim for t in (q, k, v)) < 3:
        return
    if enable_gqa:
        heads = [t._spec.shape[-3] for t in (q, k, v)]
        if heads[0] % heads[1] or heads[0] % heads[2]:
            raise RuntimeError("Number of heads in key and value must divide the number of heads in query")
    elif q._spec.shape[-1] != k._spec.shape[-1]:
        batch = math.prod(broadcast_shapes([q._spec.shape[:-2], k._spec.shape[:-2]]))
        raise RuntimeError(
            f"Expected size for first two dimensions of batch2 tensor to be: {[batch, q._spec.shape[-1]]} but got: "
            f"{[batch, k._spec.shape[-1]]}."
        )


@composite(namespaces=_F)
def scaled_dot_product_attention(
    query, key, value, attn_mask=None, dropout_p=0.0, is_causal=False, scale=None, enable_gqa=False
):
    """``softmax(scale * query @ key^T + attn_mask) @ value``, with dropout of the weights.

    ``query`` is (..., L, E), ``key`` (..., S, E), ``value`` (..., S, V), the result (..., L, V). ``attn_mask``, which
    broadcasts to (..., L, S), is true where a query may look, or is added to the scores. ``is_causal`` lets query ``i``
    look at keys up to ``i``. ``scale`` is ``1 / sqrt(E)`` unless given. With ``enable_gqa`` several heads of queries share
    one of keys and values. A query that may look nowhere gets zeros.

    See Vaswani et al., arXiv:1706.03762.
    """
    _check_attention(query, key, value, attn_mask, is_causal, enable_gqa)
    fused = _is_fused(query, key, value, attn_mask, dropout_p, enable_gqa)
    if not fused and is_causal and attn_mask is not None:
        raise RuntimeError("_scaled_dot_product_attention: Explicit attn_mask should not be set when is_causal=True")
    dropped = None
    if dropout_p > 0.0:
        lead = (
            broadcast_shapes([t._spec.shape[:-2] for t in (query, key)]) if not enable_gqa else query._spec.shape[:-2]
        )
        dropped = dropout_mask(query, (*lead, query._spec.shape[-2], key._spec.shape[-2]), dropout_p)
    node = _FUSED if fused else "MmBackward0" if query._spec.ndim == 2 else "UnsafeViewBackward0"
    scale = None if scale is None else float(scale)
    return _attention(query, key, value, attn_mask, dropped, bool(is_causal), scale, bool(enable_gqa), node)


# Attention with many heads.


@composite(namespaces=_F)
def _none_or_dtype(input):
    """The dtype of a tensor, None of None."""
    if input is None:
        return None
    if isinstance(input, Tensor):
        return input.dtype
    raise RuntimeError("input to _none_or_dtype() must be None or torch.Tensor")


@composite(namespaces=_F)
def _canonical_mask(mask, mask_name, other_type, other_name, target_type, check_other=True):
    """A mask as numbers to add to scores: what is true in a boolean mask becomes minus infinity."""
    if mask is None:
        return None
    is_bool = mask._spec.dtype == np.bool_
    if not is_bool and not mask.is_floating_point():
        raise AssertionError(f"only bool and floating types of {mask_name} are supported")
    if check_other and other_type is not None and mask.dtype is not other_type:
        warnings.warn(
            f"Support for mismatched {mask_name} and {other_name} is deprecated. Use same type for both instead.",
            stacklevel=2,
        )
    return _as_scores(mask, target_type) if is_bool else mask


@op(namespaces=("_private",), name="_as_scores", nondiff=True)
def _as_scores(input, dtype):
    """Minus infinity where true, zero elsewhere."""
    kind = dtype.np.type
    return lax.select(input, lax.full(input.shape, kind(-math.inf)), lax.full(input.shape, kind(0)))


def _check_heads(query, key, value, key_padding_mask, attn_mask, num_heads) -> bool:
    """Whether the input is batched; AssertionError for tensors of the wrong rank."""
    n = query.dim()
    if n not in (2, 3):
        raise AssertionError(f"query should be unbatched 2D or batched 3D tensor but received {n}-D query tensor")
    kind = "batched (3-D)" if n == 3 else "unbatched (2-D)"
    if key.dim() != n or value.dim() != n:
        raise AssertionError(
            f"For {kind} `query`, expected `key` and `value` to be {n}-D but found {key.dim()}-D and {value.dim()}-D tensors "
            "respectively"
        )
    if key_padding_mask is not None and key_padding_mask.dim() != n - 1:
        raise AssertionError(
            f"For {kind} `query`, expected `key_padding_mask` to be `None` or {n - 1}-D but found "
            f"{key_padding_mask.dim()}-D tensor instead"
        )
    if attn_mask is not None:
        if attn_mask.dim() not in (2, 3):
            raise AssertionError(
                f"For {kind} `query`, expected `attn_mask` to be `None`, 2-D or 3-D but found {attn_mask.dim()}-D tensor "
                "instead"
            )
        if n == 2 and attn_mask.dim() == 3:
            expected = (num_heads, query.shape[0], key.shape[0])
            if attn_mask.shape != expected:
                raise AssertionError(f"Expected `attn_mask` shape to be {expected} but got {attn_mask.shape}")
    return n == 3


def _projected(query, key, value, weight, bias) -> Sequence[Tensor]:
    """Queries, keys and values by one weight (3 E, E)."""
    size = query.shape[-1]
    if key is value:
        if query is key:
            return linear(query, weight, bias).chunk(3, -1)
        w_query, w_rest = weight.split([size, 2 * size])
        b_query, b_rest = (None, None) if bias is None else bias.split([size, 2 * size])
        return (linear(query, w_query, b_query), *linear(key, w_rest, b_rest).chunk(2, -1))
    weights = weight.chunk(3)
    biases = (None,) * 3 if bias is None else bias.chunk(3)
    return [linear(x, w, b) for x, w, b in zip((query, key, value), weights, biases, strict=True)]


def _projected_apart(query, key, value, weights, bias) -> Sequence[Tensor]:
    """Queries, keys and values by weights of their own."""
    size = query.shape[-1]
    biases = (None,) * 3 if bias is None else bias.chunk(3)
    for name, weight, x in zip(("query", "key", "value"), weights, (query, key, value), strict=True):
        if weight.shape != (size, x.shape[-1]):
            raise AssertionError(f"expecting {name} weights shape of {(size, x.shape[-1])}, but got {weight.shape}")
    for name, b in zip(("query", "key", "value"), biases, strict=True):
        if b is not None and b.shape != (size,):
            raise AssertionError(f"expecting {name} bias shape of {(size,)}, but got {b.shape}")
    return [linear(x, w, b) for x, w, b in zip((query, key, value), weights, biases, strict=True)]


def _zeros(shape: Sequence[int], like: Tensor) -> Tensor:
    return from_array(np.zeros(shape, like._spec.dtype), like._storage.device)


def _with_one_more(mask: Tensor | None) -> Tensor | None:
    """A mask that lets queries look at one key more, which was put at the end."""
    return None if mask is None else REGISTRY["nn.functional", "pad"](mask, (0, 1))


def _check_mask(mask: Tensor, target: int, source: int, batch: int, num_heads: int) -> Tensor:
    """The mask with a leading dimension; RuntimeError for one of the wrong shape."""
    if mask.dim() not in (2, 3):
        raise RuntimeError(f"attn_mask's dimension {mask.dim()} is not supported")
    correct = (target, source) if mask.dim() == 2 else (batch * num_heads, target, source)
    if mask.shape != correct:
        raise RuntimeError(f"The shape of the {mask.dim()}D attn_mask is {mask.shape}, but should be {correct}.")
    return mask.unsqueeze(0) if mask.dim() == 2 else mask


def _heads(x: Tensor, batch: int, num_heads: int, head_dim: int, fixed: Tensor | None, name: str) -> Tensor:
    """(time, batch, features) as (batch * heads, time, features of a head), or what was given in its place."""
    if fixed is None:
        return x.reshape(x.shape[0], batch * num_heads, head_dim).transpose(0, 1)
    if fixed.size(0) != batch * num_heads:
        raise AssertionError(f"expecting {name}.size(0) of {batch * num_heads}, but got {fixed.size(0)}")
    if fixed.size(2) != head_dim:
        raise AssertionError(f"expecting {name}.size(2) of {head_dim}, but got {fixed.size(2)}")
    return fixed


def _merged(padding: Tensor, attn_mask: Tensor | None, batch: int, num_heads: int, source: int) -> Tensor:
    """One mask out of that of padding and that of attention."""
    for axis, (have, want) in enumerate(zip(padding.shape, (batch, source), strict=False)):
        if have != want:
            raise AssertionError(f"Expected key_padded_mask.shape[{axis}] to be {want}, but got {have}")
    padding = padding.view(batch, 1, 1, source).expand(-1, num_heads, -1, -1)
    padding = padding.reshape(batch * num_heads, 1, source)
    return padding if attn_mask is None else attn_mask + padding


@composite(namespaces=_F)
def multi_head_attention_forward(
    query, key, value, embed_dim_to_check, num_heads, in_proj_weight, in_proj_bias, bias_k, bias_v, add_zero_attn,
    dropout_p, out_proj_weight, out_proj_bias, training=True, key_padding_mask=None, need_weights=True, attn_mask=None,
    use_separate_proj_weight=False, q_proj_weight=None, k_proj_weight=None, v_proj_weight=None, static_k=None,
    static_v=None, average_attn_weights=True, is_causal=False,
):  # fmt: skip
    """Attention with many heads: projections in, attention in each head, a projection out.

    ``query`` is (L, N, E) or (L, E), ``key`` and ``value`` (S, N, E) or (S, E); with ``use_separate_proj_weight`` they may
    have sizes of their own. Masks: ``key_padding_mask`` (N, S), ``attn_mask`` (L, S) or (N * heads, L, S); true, or minus
    infinity, where not to look. ``bias_k`` and ``bias_v``, and ``add_zero_attn``, each append a key and value.

    Returns the output, of the query's shape, and the weights, averaged over heads or not, or None.
    """
    is_batched = _check_heads(query, key, value, key_padding_mask, attn_mask, num_heads)
    if not is_batched:
        apart = {id(t): t.unsqueeze(1) for t in (query, key, value)}
        query, key, value = apart[id(query)], apart[id(key)], apart[id(value)]
        key_padding_mask = None if key_padding_mask is None else key_padding_mask.unsqueeze(0)
    target, batch, embed_dim = query.shape
    source = key.shape[0]
    key_padding_mask = _canonical_mask(
        key_padding_mask, "key_padding_mask", _none_or_dtype(attn_mask), "attn_mask", query.dtype
    )
    if is_causal and attn_mask is None:
        raise RuntimeError(
            "Need attn_mask if specifying the is_causal hint. You may use the Transformer module method "
            "`generate_square_subsequent_mask` to create this mask."
        )
    if is_causal and key_padding_mask is None and not need_weights:
        attn_mask = None
    else:
        attn_mask = _canonical_mask(attn_mask, "attn_mask", None, "", query.dtype, check_other=False)
        is_causal = is_causal and key_padding_mask is None
    if embed_dim != embed_dim_to_check:
        raise AssertionError(f"was expecting embedding dimension of {embed_dim_to_check}, but got {embed_dim}")
    head_dim = embed_dim // num_heads
    if head_dim * num_heads != embed_dim:
        raise AssertionError(f"embed_dim {embed_dim} not divisible by num_heads {num_heads}")

    if use_separate_proj_weight:
        if key.shape[:2] != value.shape[:2]:
            raise AssertionError(
                f"key's sequence and batch dims {key.shape[:2]} do not match value's {value.shape[:2]}"
            )
        weights = (q_proj_weight, k_proj_weight, v_proj_weight)
        for name, weight in zip("qkv", weights, strict=True):
            if weight is None:
                raise AssertionError(f"use_separate_proj_weight is True but {name}_proj_weight is None")
        q, k, v = _projected_apart(query, key, value, weights, in_proj_bias)
    else:
        if key.shape != value.shape:
            raise AssertionError(f"key shape {key.shape} does not match value shape {value.shape}")
        if in_proj_weight is None:
            raise AssertionError("use_separate_proj_weight is False but in_proj_weight is None")
        q, k, v = _projected(query, key, value, in_proj_weight, in_proj_bias)

    if attn_mask is not None:
        attn_mask = _check_mask(attn_mask, target, source, batch, num_heads)
    if bias_k is not None and bias_v is not None:
        for name, fixed in (("key", static_k), ("value", static_v)):
            if fixed is not None:
                raise AssertionError(f"bias cannot be added to static {name}.")
        k = cat([k, bias_k.repeat(1, batch, 1)])
        v = cat([v, bias_v.repeat(1, batch, 1)])
        attn_mask, key_padding_mask = _with_one_more(attn_mask), _with_one_more(key_padding_mask)
    elif bias_k is not None:
        raise AssertionError("bias_k is set but bias_v is None")
    elif bias_v is not None:
        raise AssertionError("bias_v is set but bias_k is None")
    q = _heads(q, batch, num_heads, head_dim, None, "query")
    k = _heads(k, batch, num_heads, head_dim, static_k, "static_k")
    v = _heads(v, batch, num_heads, head_dim, static_v, "static_v")
    if add_zero_attn:
        shape = (batch * num_heads, 1, head_dim)
        k, v = cat([k, _zeros(shape, k)], 1), cat([v, _zeros(shape, v)], 1)
        attn_mask, key_padding_mask = _with_one_more(attn_mask), _with_one_more(key_padding_mask)
    source = k.size(1)
    if key_padding_mask is not None:
        attn_mask = _merged(key_padding_mask, attn_mask, batch, num_heads, source)
    dropout_p = dropout_p if training else 0.0

    weights = None
    if need_weights:
        if is_causal and attn_mask is None:
            raise AssertionError("FIXME: is_causal not implemented for need_weights")
        q = q * math.sqrt(1.0 / head_dim)
        scores = bmm(q, k.transpose(-2, -1)) if attn_mask is None else baddbmm(attn_mask, q, k.transpose(-2, -1))
        weights = scores.softmax(-1)
        if dropout_p > 0.0:
            weights = REGISTRY["nn.functional", "dropout"](weights, dropout_p)
        out = bmm(weights, v).transpose(0, 1).reshape(target * batch, embed_dim)
        weights = weights.view(batch, num_heads, target, source)
        if average_attn_weights:
            weights = weights.mean(dim=1)
    else:
        if attn_mask is not None:
            if attn_mask.size(0) == 1 and attn_mask.dim() == 3:
                attn_mask = attn_mask.unsqueeze(0)
            else:
                attn_mask = attn_mask.view(batch, num_heads, -1, source)
        q, k, v = (x.reshape(batch, num_heads, x.shape[1], head_dim) for x in (q, k, v))
        out = scaled_dot_product_attention(q, k, v, attn_mask, dropout_p, is_causal)
        out = out.permute(2, 0, 1, 3).reshape(batch * target, embed_dim)
    out = linear(out, out_proj_weight, out_proj_bias)
    out = out.view(target, batch, out.size(1))
    if not is_batched:
        out = out.squeeze(1)
        weights = None if weights is None else weights.squeeze(0)
    return out, weights
