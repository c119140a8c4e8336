"""``torch.backends.cuda``: switches of CUDA libraries; they keep what a program sets."""

from __future__ import annotations

from types import SimpleNamespace

matmul = SimpleNamespace(
    allow_tf32=False, allow_fp16_reduced_precision_reduction=True, allow_bf16_reduced_precision_reduction=True,
    allow_fp16_accumulation=False, fp32_precision="none",
)  # fmt: skip
cufft_plan_cache = SimpleNamespace(size=0, max_size=0, clear=lambda: None)

_enabled = {"flash": True, "mem_efficient": True, "math": True, "cudnn": True}


def is_built() -> bool:
    """Whether CUDA may be there: whether JAX found an accelerator."""
    from torchlike._tensor.placement import accelerators

    return bool(accelerators())


def flash_sdp_enabled() -> bool:
    """What ``enable_flash_sdp`` set."""
    return _enabled["flash"]


def enable_flash_sdp(enabled: bool) -> None:
    """Kept, without effect: XLA chooses how attention is computed."""
    _enabled["flash"] = enabled


def mem_efficient_sdp_enabled() -> bool:
    """What ``enable_mem_efficient_sdp`` set."""
    return _enabled["mem_efficient"]


def enable_mem_efficient_sdp(enabled: bool) -> None:
    """Kept, without effect: XLA chooses how attention is computed."""
    _enabled["mem_efficient"] = enabled


def math_sdp_enabled() -> bool:
    """What ``enable_math_sdp`` set."""
    return _enabled["math"]


def enable_math_sdp(enabled: bool) -> None:
    """Kept, without effect: XLA chooses how attention is computed."""
    _enabled["math"] = enabled


def cudnn_sdp_enabled() -> bool:
    """What ``enable_cudnn_sdp`` set."""
    return _enabled["cudnn"]


def enable_cudnn_sdp(enabled: bool) -> None:
    """Kept, without effect: XLA chooses how attention is computed."""
    _enabled["cudnn"] = enabled
