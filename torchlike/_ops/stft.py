"""The short-time Fourier transform and its inverse."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
from jax import lax

from torchlike._ops import fft_ops
from torchlike._ops.bodies import INT64, put_rows
from torchlike._ops.linalg_common import require_tensor
from torchlike._ops.op import composite, exports, op
from torchlike._tensor.tensor import Tensor, from_array, host_array


def _number(x: Any) -> Any:
    return int(x) if isinstance(x, bool) else x


def _described(x: Tensor, braces: bool = True) -> str:
    shape = f"{{{list(x.shape)}}}" if braces else f"{list(x.shape)}"
    return f"{x.type()}{shape}"


def _call(name: str, first: str, **arguments: Any) -> str:
    """The call as native's messages show it."""
    shown = ", ".join(
        f"{key}={_described(value) if isinstance(value, Tensor) else _number(value)}"
        for key, value in arguments.items()
    )
    return f"{name}({first}, {shown})"


def _framing_window(window: Any, n_fft: int, win_length: int, like: Tensor) -> Any:
    """The window in the middle of ``n_fft`` zeros; None for one of ones throughout."""
    if win_length == n_fft:
        return window
    left = (n_fft - win_length) // 2
    given = like.new_ones(win_length) if window is None else window
    return exports("nn.functional")["pad"](given, [left, n_fft - win_length - left])


@composite()
def stft(
    input, n_fft, hop_length=None, win_length=None, window=None, center=True, pad_mode="reflect", normalized=False,
    onesided=None, return_complex=None, align_to_window=None,
):  # fmt: skip
    """The Fourier transforms of overlapping frames of signals (..., time): (..., frequency, frame).

    Frames are ``n_fft`` long and ``hop_length`` (a quarter of that) apart, each multiplied with ``window``; ``center`` pads
    the signal by ``n_fft // 2`` on both sides. ``onesided``, the default for real signals, keeps the frequencies that are not
    mirrored. Without ``return_complex`` the last dimension is that of real and imaginary parts.
    """
    require_tensor(input, "stft", "input", 1)
    if center and align_to_window is not None:
        raise RuntimeError("stft align_to_window should only be set when center = false")
    if center:
        extended = input.view([*[1] * (3 - input._spec.ndim), *input._spec.shape])
        half = n_fft // 2
        padded = exports("nn.functional")["pad"](extended, [half, half], pad_mode)
        input = padded.view(padded._spec.shape[3 - input._spec.ndim :])
    hop = n_fft // 4 if hop_length is None else hop_length
    width = n_fft if win_length is None else win_length
    if return_complex is None:
        if not input.is_complex() and not (window is not None and window.is_complex()):
            raise RuntimeError(
                "stft requires the return_complex parameter be given for real inputs, and will further require that "
                "return_complex=True in a future PyTorch release."
            )
        return_complex = True
    _check_stft(input, n_fft, hop, width, window, normalized, onesided, return_complex, align_to_window)
    is_complex = input.is_complex() or (window is not None and window.is_complex())
    if onesided is None:
        onesided = not is_complex
    elif onesided and is_complex:
        raise RuntimeError("Cannot have onesided output if window or input is complex")
    single = input._spec.ndim == 1
    signal = input.unsqueeze(0) if single else input
    if align_to_window:
        left = (n_fft - width) // 2
        signal = exports("nn.functional")["pad"](signal, [left, n_fft - width - left])
    frames = signal.unfold(-1, n_fft, hop)
    weights = _framing_window(window, n_fft, width, input)
    frames = frames if weights is None else frames * weights
    norm = "ortho" if normalized else None
    transform = fft_ops._apply_one(frames, "rfft" if onesided else "fft", None, -1, norm, None).transpose(1, 2)
    result = transform.squeeze(0) if single else transform
    return result if return_complex else exports("torch")["view_as_real"](result)


def _check_stft(x: Tensor, n_fft: int, hop: int, width: int, window: Any, normalized: Any, onesided: Any,
                return_complex: Any, align: Any) -> None:  # fmt: skip
    def fail(problem: str) -> None:
        shown = _call(
            "stft", _described(x, braces=False), n_fft=n_fft, hop_length=hop, win_length=width, window=window,
            normalized=normalized, onesided=onesided, return_complex=return_complex, align_to_window=align,
        )  # fmt: skip
        raise RuntimeError(f"{shown} : {problem}")

    if not (x.is_floating_point() or x.is_complex()):
        fail("expected a tensor of floating point or complex values")
    if x._spec.ndim not in (1, 2):
        fail("expected a 1D or 2D tensor")
    length = x._spec.shape[-1]
    if not 0 < n_fft <= length:
        fail(f"expected 0 < n_fft < {length}, but got n_fft={n_fft}")
    if hop <= 0:
        fail(f"expected hop_length > 0, but got hop_length={hop}")
    if not 0 < width <= n_fft:
        fail(f"expected 0 < win_length <= n_fft, but got win_length={width}")
    if window is not None and window._spec.shape != (width,):
        fail(
            f"expected a 1D window tensor of size equal to win_length={width}, but got window with size {list(window.shape)}"
        )


# The inverse.


@op(name="_overlap_add", namespaces=("_private",), node="UnfoldBackwardBackward0")
def _overlap_add(input, hop):
    """Frames (batch, frame, time) put ``hop`` apart and added up: (batch, time)."""
    batch, count, width = input.shape
    places = (np.arange(count)[:, None] * hop + np.arange(width)).reshape(-1).astype(INT64)
    zeros = lax.full((batch, (count - 1) * hop + width), 0, input.dtype)
    return put_rows(
        zeros, lax.broadcast_in_dim(places, places.shape, (0,)), lax.reshape(input, (batch, count * width)), 1, "add"
    )


def _envelope(weights: Any, n_fft: int, hop: int, count: int, like: Tensor) -> Tensor:
    """The sum of the squared windows of all frames; a constant unless the window has a gradient."""
    if weights is not None and weights.requires_grad:
        return _overlap_add(weights.pow(2).expand(1, count, n_fft), hop)
    squares = np.ones(n_fft, like.abs().detach()._spec.dtype) if weights is None else host_array(weights) ** 2
    total = np.zeros((count - 1) * hop + n_fft, squares.dtype)
    for i in range(count):
        total[i * hop : i * hop + n_fft] += squares
    made = from_array(total[None])
    return made if like.device.type == "cpu" else made.to(like.device)


@composite()
def istft(
    input, n_fft, hop_length=None, win_length=None, window=None, center=True, normalized=False, onesided=None,
    length=None, return_complex=False,
):  # fmt: skip
    """The signal whose :func:`stft` is given: the frames' inverse transforms, weighted, added up and divided by the weights.

    ``length`` cuts the result or pads it with zeros at its end. RuntimeError where the weights add up to zero somewhere.
    """
    require_tensor(input, "istft", "input", 1)
    hop = n_fft // 4 if hop_length is None else hop_length
    width = n_fft if win_length is None else win_length
    _check_istft(input, n_fft, hop, width, window, center, normalized, onesided, length, return_complex)
    single = input._spec.ndim == 2
    frames = (input.unsqueeze(0) if single else input).transpose(1, 2)
    shown = _istft_call(input, n_fft, hop, width, window, center, normalized, onesided, length, return_complex)
    if onesided is None:
        onesided = frames._spec.shape[-1] != n_fft
    if return_complex and onesided:
        raise RuntimeError("Cannot have onesided output if window or input is complex")
    if not return_complex and window is not None and window.is_complex():
        raise RuntimeError("Complex windows are incompatible with return_complex=False")
    norm = "ortho" if normalized else None
    how = "ifft" if return_complex else "irfft"
    if not onesided and not return_complex:
        frames = frames.narrow(-1, 0, n_fft // 2 + 1)
    pieces = fft_ops._apply_one(frames, how, n_fft if how == "irfft" else None, -1, norm, None)
    weights = _framing_window(window, n_fft, width, input.detach().real if not return_complex else input.detach())
    pieces = pieces if weights is None else pieces * weights
    count = frames._spec.shape[1]
    total = _overlap_add(pieces, hop)
    envelope = _envelope(weights, n_fft, hop, count, input)
    full = (count - 1) * hop + n_fft
    start = n_fft // 2 if center else 0
    end = full - n_fft // 2 if center else full
    if length is not None:
        end = min(start + length, full)
    total, envelope = total[:, start:end], envelope[:, start:end]
    if envelope._spec.numel and float(abs(host_array(envelope)).min()) <= 1e-11:
        raise RuntimeError(f"{shown} window overlap add min: 1")
    result = total / envelope
    result = result.squeeze(0) if single else result
    missing = 0 if length is None else length - (end - start)
    if missing > 0:
        warnings.warn(
            "The length of signal is shorter than the length parameter. Result is being padded with zeros in the tail. Please "
            "check your center and hop_length settings.",
            UserWarning,
            stacklevel=2,
        )
        return exports("nn.functional")["pad"](result, [0, missing])
    return result


def _istft_call(x: Tensor, n_fft: int, hop: int, width: int, window: Any, center: Any, normalized: Any, onesided: Any,
                length: Any, return_complex: Any) -> str:  # fmt: skip
    kind = "CPU" + x.type().removeprefix("torch.").removesuffix("Tensor") + "Type"
    return _call(
        "istft", f"{kind}{list(x.shape)}", n_fft=n_fft, hop_length=hop, win_length=width, window=window, center=center,
        normalized=normalized, onesided=onesided, length=length, return_complex=return_complex,
    )  # fmt: skip


def _check_istft(x: Tensor, n_fft: int, hop: int, width: int, window: Any, center: Any, normalized: Any, onesided: Any,
                 length: Any, return_complex: Any) -> None:  # fmt: skip
    if not x.is_complex():
        raise RuntimeError(
            "istft requires a complex-valued input tensor matching the output from stft with return_complex=True."
        )
    shown = _istft_call(x, n_fft, hop, width, window, center, normalized, onesided, length, return_complex)

    def fail(problem: str) -> None:
        raise RuntimeError(f"{shown} : {problem}")

    if not x._spec.numel:
        fail("input tensor cannot be empty.")
    if x._spec.ndim not in (2, 3):
        fail(f"expected a tensor with 2 or 3 dimensions, but got {x._spec.ndim}")
    rows = x._spec.shape[-2]
    two_sided = onesided is False or (onesided is None and rows == n_fft)
    if two_sided and rows != n_fft:
        fail(
            "expected the frequency dimension (3rd to the last) of the input tensor to match n_fft when onesided=False, but got "
            f"{rows}"
        )
    if not two_sided and rows != n_fft // 2 + 1:
        fail(
            "expected the frequency dimension (3rd to the last) of the input tensor to match n_fft / 2 + 1 when onesided=True, "
            f"but got {rows}"
        )
    if not 0 < hop <= width:
        fail("expected 0 < hop_length <= win_length")
    if not 0 < width <= n_fft:
        fail("expected 0 < win_length <= n_fft")
    if window is not None and window._spec.shape != (width,):
        fail("Invalid window shape. window has to be 1D and length of `win_length`")
