"""Autograd functions behind layers; imported on first use, since most programs need none."""

from __future__ import annotations

from typing import Any

import torchlike as torch
from torchlike.autograd.function import Function


class BackwardHookFunction(Function):
    """The identity, whose node in the graph is where a module's full backward hooks are attached."""

    @staticmethod
    def forward(ctx: Any, *args: Any) -> Any:
        ctx.mark_non_differentiable(*[arg for arg in args if not arg.requires_grad])
        return args

    @staticmethod
    def backward(ctx: Any, *args: Any) -> Any:
        return args


def _windows(channels: int, size: int, like: Any) -> Any:
    """Matrix whose entry (c, j) is 1 where channel j counts for channel c.

    The running sum that defines the layer never takes channel 0 out again once ``c`` exceeds the half window.
    """
    half = int((size - 1) / 2 + 1)
    c = torch.arange(channels, device=like.device).unsqueeze(1)
    j = torch.arange(channels, device=like.device).unsqueeze(0)
    inside = (j < c + half) & (j > c - half)
    return (inside | ((j == 0) & (c >= half))).to(like.dtype)


class CrossMapLRN2d(Function):
    """``x_c / (k + alpha / size * sum x_c'^2)^beta`` over neighbouring channels, with Lua Torch's gradient."""

    @staticmethod
    def forward(ctx: Any, input: Any, size: int, alpha: float = 1e-4, beta: float = 0.75, k: float = 1) -> Any:
        if input.dim() != 4:
            raise ValueError(f"CrossMapLRN2d: Expected input to be 4D, got {input.dim()}D instead.")
        windows = _windows(input.size(1), size, input)
        scale = torch.einsum("cj,njhw->nchw", windows, input * input) * (alpha / size) + k
        output = input * scale.pow(-beta)
        ctx.size, ctx.alpha, ctx.beta = size, alpha, beta
        ctx.save_for_backward(input, output, scale)
        return output

    @staticmethod
    def backward(ctx: Any, grad_output: Any) -> Any:
        input, output, scale = ctx.saved_tensors
        size, channels = ctx.size, input.size(1)
        before = int(size - (size - 1) / 2)
        c = torch.arange(channels, device=input.device).unsqueeze(1)
        j = torch.arange(channels, device=input.device).unsqueeze(0)
        offset = j - c + before
        windows = ((offset >= 0) & (offset < size)).to(input.dtype)
        ratio = torch.einsum("cj,njhw->nchw", windows, grad_output * output / scale)
        factor = 2 * ctx.alpha * ctx.beta / size
        return scale.pow(-ctx.beta) * grad_output - factor * input * ratio, None, None, None, None
