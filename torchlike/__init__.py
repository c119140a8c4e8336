"""torchlike: PyTorch to the program that imports it, JAX underneath.

Every name here is one of torch's and does what torch's does; the operators come from their declarations in ``_ops``.
"""

from __future__ import annotations

from torchlike import _install

# Under ``python -m torchlike`` nothing is loaded until the program asks for it.
if not _install.is_waiting():
    import builtins as _builtins
    import importlib as _importlib
    import math as _math
    import os as _os
    from typing import Any as _Any

    from torchlike import _ops
    from torchlike._engine import setup as _setup  # configures JAX before anything else uses it
    from torchlike._ops.op import exports as _exports
    from torchlike._ops.op import register_parameter_type as _register_parameter_type

    _ops.load()

    from torchlike._tensor import dtypes as _dtypes
    from torchlike._tensor.device import device, get_default_device, set_default_device
    from torchlike._tensor.dtypes import dtype, get_default_dtype, set_default_dtype
    from torchlike._tensor.memory_format import (
        channels_last,
        channels_last_3d,
        contiguous_format,
        jagged,
        layout,
        memory_format,
        preserve_format,
        sparse_bsc,
        sparse_bsr,
        sparse_coo,
        sparse_csc,
        sparse_csr,
        strided,
    )
    from torchlike._tensor.printing import get_printoptions, printoptions, set_printoptions
    from torchlike._tensor.promotion import can_cast, promote_types
    from torchlike._tensor.size import Size
    from torchlike._tensor.tensor import Tensor
    from torchlike._tensor.type_info import finfo, iinfo
    from torchlike.autograd.anomaly_mode import is_anomaly_check_nan_enabled, is_anomaly_enabled, set_anomaly_enabled
    from torchlike.autograd.grad_mode import (
        enable_grad,
        inference_mode,
        is_grad_enabled,
        is_inference_mode_enabled,
        no_grad,
        set_grad_enabled,
    )
    from torchlike.torch_version import __version__

    globals().update(_dtypes.EXPORTS)
    globals().update(_exports("torch"))

    inf: _builtins.float = _math.inf
    nan: _builtins.float = _math.nan
    pi: _builtins.float = _math.pi
    e: _builtins.float = _math.e
    newaxis = None

    from torchlike import (
        _toplevel,
        autograd,
        backends,
        cuda,
        nn,
        optim,
        overrides,
        random,
        serialization,
        utils,
        version,
    )
    from torchlike._install import install, uninstall
    from torchlike._storage.typed import CPU_CLASSES as _CPU_CLASSES
    from torchlike._storage.typed import STORAGE_CLASSES as _storage_classes
    from torchlike._storage.typed import TypedStorage
    from torchlike._storage.untyped import UntypedStorage
    from torchlike._tensor.legacy_types import CPU_TYPES as _CPU_TYPES
    from torchlike.amp.autocast_mode import (
        autocast,
        clear_autocast_cache,
        get_autocast_dtype,
        is_autocast_available,
        is_autocast_cache_enabled,
        is_autocast_cpu_enabled,
        is_autocast_enabled,
        set_autocast_cache_enabled,
        set_autocast_dtype,
        set_autocast_enabled,
    )
    from torchlike.amp.grad_scaler import GradScaler
    from torchlike.nn.parameter import Parameter as _Parameter
    from torchlike.random import (
        Generator,
        default_generator,
        get_rng_state,
        initial_seed,
        manual_seed,
        seed,
        set_rng_state,
    )
    from torchlike.serialization import load, save

    globals().update({_name: getattr(_toplevel, _name) for _name in _toplevel.__all__})
    globals().update(_CPU_TYPES)
    globals().update(_CPU_CLASSES)
    _register_parameter_type(_Parameter)

    #: Submodules that are imported when a program first names them.
    _LAZY = frozenset(
        stem
        for name in _os.listdir(_os.path.dirname(__file__))
        if (stem := name.removesuffix(".py")).isidentifier() and not stem.startswith("_")
    ) | {"__config__", "__future__", "_dynamo", "_inductor", "_logging"}

    def __getattr__(name: str) -> _Any:
        if name in _LAZY:
            return _importlib.import_module(f"torchlike.{name}")
        raise AttributeError(f"module 'torch' has no attribute '{name}'")

    def is_tensor(obj: _Any, /) -> _builtins.bool:
        """Whether ``obj`` is a tensor."""
        return isinstance(obj, Tensor)

    def is_storage(obj: _Any, /) -> _builtins.bool:
        """Whether ``obj`` is a storage."""
        return type(obj) in _storage_classes

    def typename(obj: _Any, /) -> str:
        """The name of a tensor's legacy type, or of any other object's type with its module."""
        if isinstance(obj, Tensor):
            return obj.type()
        kind = obj if isinstance(obj, type) else type(obj)
        module = getattr(obj, "__module__", None) or kind.__module__
        name = getattr(obj, "__qualname__", None) or kind.__qualname__
        return name if module == "builtins" else f"{module}.{name}"

    def set_default_tensor_type(t: _Any, /) -> None:
        """Make the dtype of a floating-point tensor type, or of its name, the default dtype."""
        kind = _CPU_TYPES[t.rpartition(".")[2]] if isinstance(t, str) else t
        set_default_dtype(kind.dtype)

    def compiled_with_cxx11_abi() -> _builtins.bool:
        """True, as for every native build of this API level."""
        return True

    def is_deterministic_algorithms_warn_only_enabled() -> _builtins.bool:
        """Whether operations without a deterministic form would only warn."""
        return _deterministic["warn_only"]

    _deterministic = {"mode": False, "warn_only": False, "precision": "highest"}

    def use_deterministic_algorithms(mode: _builtins.bool, *, warn_only: _builtins.bool = False) -> None:
        """Kept: every operation here gives the same bits each time it is run."""
        _deterministic.update(mode=mode, warn_only=warn_only)

    def are_deterministic_algorithms_enabled() -> _builtins.bool:
        """What ``use_deterministic_algorithms`` set."""
        return _deterministic["mode"]

    def set_float32_matmul_precision(precision: str) -> None:
        """Kept, and handed to JAX for accelerators: "highest", "high" or "medium"."""
        if precision not in ("highest", "high", "medium"):
            raise RuntimeError(f"Invalid float32 matmul precision: {precision}")
        _deterministic["precision"] = precision
        _jax_precision = {"highest": "highest", "high": "high", "medium": "default"}[precision]
        _setup.jax.config.update("jax_default_matmul_precision", _jax_precision)

    def get_float32_matmul_precision() -> str:
        """What ``set_float32_matmul_precision`` set."""
        return _deterministic["precision"]

    def get_num_threads() -> _builtins.int:
        """The number of threads that operations may use."""
        return _threads["intra"] or len(_os.sched_getaffinity(0))

    def set_num_threads(int: _builtins.int, /) -> None:
        """Kept; the number that operations really use is fixed when the process starts (``OMP_NUM_THREADS``)."""
        if int <= 0:
            raise RuntimeError("set_num_threads expects a positive integer")
        _threads["intra"] = int

    def get_num_interop_threads() -> _builtins.int:
        """The number of threads for independent operations."""
        return _threads["inter"] or len(_os.sched_getaffinity(0))

    def set_num_interop_threads(int: _builtins.int, /) -> None:
        """Kept, without effect."""
        if int <= 0:
            raise RuntimeError("set_num_interop_threads expects a positive integer")
        _threads["inter"] = int

    _threads: dict[str, _builtins.int] = {"intra": 0, "inter": 0}
