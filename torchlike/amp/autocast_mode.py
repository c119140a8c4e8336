"""``autocast``: regions in which operators choose their precision.

There are no such regions yet. What would change nothing anyway works: a disabled region, one for an accelerator that is not
there, one for a dtype that torch does not take. Entering a region that would have an effect raises NotImplementedError.
"""

from __future__ import annotations

import functools
import warnings
from collections.abc import Callable
from typing import Any

import torchlike as torch

_DEVICES = ("cpu", "cuda", "mps", "xpu", "mtia", "hpu", "xla", "ipu", "meta", "maia")
_SUPPORTED = (torch.bfloat16, torch.float16)
_state: dict[str, Any] = {"cache": True, "dtypes": {"cpu": torch.bfloat16, "cuda": torch.float16}}

_REASON = (
    "torch.autocast in {dtype} on '{device}': operators do not choose a lower precision by themselves here yet. Convert the model "
    "and its inputs (model.to({dtype})), or leave the region out"
)


def is_autocast_available(device_type: str) -> bool:
    """Whether :class:`autocast` knows the device; whether it can be enabled there is another question."""
    return device_type in _DEVICES


def get_autocast_dtype(device_type: str) -> Any:
    """The dtype that a region on a device has unless another is given."""
    if device_type not in _DEVICES:
        raise RuntimeError(
            f"Expected one of cpu, cuda, ipu, xpu, mkldnn, opengl, opencl, ideep, hip, ve, fpga, maia, xla, lazy, vulkan, mps, meta, "
            f"hpu, mtia, privateuseone device type at start of device string: {device_type}"
        )
    return _state["dtypes"].get(device_type, torch.bfloat16 if device_type in ("hpu", "xla") else torch.float16)


def set_autocast_dtype(device_type: str, dtype: Any) -> None:
    """Set the dtype that a region on a device has unless another is given."""
    _state["dtypes"][device_type] = dtype


def is_autocast_enabled(device_type: str = "cuda") -> bool:
    """False: see :class:`autocast`."""
    return False


def is_autocast_cpu_enabled() -> bool:
    """False: see :class:`autocast`."""
    return False


def set_autocast_enabled(*args: Any) -> None:
    """NotImplementedError where mixed precision would be switched on."""
    if args[-1]:
        device = args[0] if len(args) > 1 else "cuda"
        raise NotImplementedError(_REASON.format(device=device, dtype=get_autocast_dtype(device)))


def is_autocast_cache_enabled() -> bool:
    """What ``set_autocast_cache_enabled`` set."""
    return _state["cache"]


def set_autocast_cache_enabled(enabled: bool) -> None:
    """Kept, without effect."""
    _state["cache"] = enabled


def clear_autocast_cache() -> None:
    """Nothing: there is no cache of cast weights."""


class autocast:
    """A region, or as a decorator a function, in which operators choose a lower precision.

    Args:
        device_type: the type of the device.
        dtype: the lower precision; bfloat16 on the host and float16 on accelerators unless given.
        enabled: whether to choose at all.
        cache_enabled: kept, without effect.

    Raises:
        RuntimeError: torch has no such device type.
        NotImplementedError: (on entering) the region is enabled, the device is there and takes the dtype.
    """

    def __init__(self, device_type: str, dtype: Any = None, enabled: bool = True, cache_enabled: bool | None = None):
        if not isinstance(device_type, str):
            raise ValueError(f"Expected `device_type` of type `str`, got: `{type(device_type)}`")
        if not is_autocast_available(device_type):
            raise RuntimeError(f"User specified an unsupported autocast device_type '{device_type}'")
        self.device = device_type
        self.fast_dtype = get_autocast_dtype(device_type) if dtype is None else dtype
        self._cache_enabled = is_autocast_cache_enabled() if cache_enabled is None else cache_enabled
        self._enabled = enabled and self._possible()

    def _possible(self) -> bool:
        """Whether torch would enable the region; it warns where it does not."""
        if self.device == "cuda":
            if not torch.cuda.is_available():
                warnings.warn("CUDA is not available or torch_xla is imported. Disabling autocast.", stacklevel=3)
                return False
            return True
        if self.fast_dtype not in _SUPPORTED:
            name = self.device.upper()
            warnings.warn(
                f"In {name} autocast, but the target dtype is not supported. Disabling autocast.\n{name} Autocast only supports "
                f"dtypes of {', '.join(map(str, _SUPPORTED))} currently.",
                stacklevel=3,
            )
            return False
        return True

    def __enter__(self) -> autocast:
        if self._enabled:
            raise NotImplementedError(_REASON.format(device=self.device, dtype=self.fast_dtype))
        return self

    def __exit__(self, *_: object) -> bool:
        return False

    def __call__(self, func: Callable) -> Callable:
        """``func``, run inside the region."""
        if not callable(func):
            raise TypeError(
                f"autocast()(func) requires a callable, but got {type(func).__name__}. Did you mean to use autocast as a context "
                "manager? For example:\n    with torch.autocast(device_type=...):\n        ..."
            )

        @functools.wraps(func)
        def decorated(*args: Any, **kwargs: Any) -> Any:
            with self:
                return func(*args, **kwargs)

        return decorated


def _require_name(device_type: Any) -> None:
    if not isinstance(device_type, str):
        raise ValueError(f"Expected `device_type` of type `str`, got: `{type(device_type)}`")


def custom_fwd(fwd: Callable | None = None, *, device_type: str, cast_inputs: Any = None) -> Any:
    """A decorator of ``forward`` methods of autograd functions that are to know of :class:`autocast`."""
    _require_name(device_type)
    if fwd is None:
        return functools.partial(custom_fwd, device_type=device_type, cast_inputs=cast_inputs)
    forward = fwd

    @functools.wraps(forward)
    def decorated(*args: Any, **kwargs: Any) -> Any:
        args[0]._dtype = get_autocast_dtype(device_type)
        args[0]._fwd_used_autocast = False
        return forward(*args, **kwargs)

    return decorated


def custom_bwd(bwd: Callable | None = None, *, device_type: str) -> Any:
    """A decorator of ``backward`` methods of autograd functions: the precision is that of ``forward``."""
    _require_name(device_type)
    if bwd is None:
        return functools.partial(custom_bwd, device_type=device_type)
    backward = bwd

    @functools.wraps(backward)
    def decorated(*args: Any, **kwargs: Any) -> Any:
        with autocast(device_type=device_type, enabled=args[0]._fwd_used_autocast, dtype=args[0]._dtype):
            return backward(*args, **kwargs)

    return decorated
