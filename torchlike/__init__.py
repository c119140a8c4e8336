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

    from torchlike._engine import setup as _setup  # configures JAX before anything else uses it
    from torchlike import _ops
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

    from torchlike import autograd, backends, cuda, nn, optim, overrides, random, serialization, utils, version
    from torchlike._install import install, uninstall
    from torchlike._tensor.legacy_types import CPU_TYPES as _CPU_TYPES
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

    globals().update(_CPU_TYPES)
    _register_parameter_type(_Parameter)

    #: Submodules that are imported when a program first names them.
    _LAZY = frozenset(
        stem
        for name in _os.listdir(_os.path.dirname(__file__))
        if (stem := name.removesuffix(".py")).isidentifier() and not stem.startswith("_")
    )


    def __getattr__(name: str) -> _Any:
        if name in _LAZY:
            return _importlib.import_module(f"torchlike.{name}")
        raise AttributeError(f"module 'torch' has no attribute '{name}'")


    def is_tensor(obj: _Any, /) -> _builtins.bool:
        """Whether ``obj`` is a tensor."""
        return isinstance(obj, Tensor)


    def is_storage(obj: _Any, /) -> _builtins.bool:
        """Whether ``obj`` is a storage."""
        from torchlike.storage import TypedStorage, UntypedStorage

        return isinstance(obj, (TypedStorage, UntypedStorage))
