"""``torch.distributed``: not there yet; ``is_available()`` says so, and what needs it raises NotImplementedError."""

from __future__ import annotations

import os
from typing import Any

_REASON = (
    "torch.distributed.{name}: collectives between processes are not there yet (torch.distributed.is_available() is False). One "
    "process can use all of its accelerators through torch.nn.DataParallel"
)
_NAMES = (
    "init_process_group", "destroy_process_group", "get_rank", "get_world_size", "get_backend", "barrier", "all_reduce",
    "all_gather", "all_gather_into_tensor", "all_gather_object", "all_to_all", "all_to_all_single", "broadcast",
    "broadcast_object_list", "gather", "gather_object", "reduce", "reduce_scatter", "reduce_scatter_tensor", "scatter",
    "scatter_object_list", "send", "recv", "isend", "irecv", "batch_isend_irecv", "new_group", "monitored_barrier",
    "get_global_rank", "get_group_rank", "get_process_group_ranks", "get_default_backend_for_device", "init_device_mesh",
)  # fmt: skip


def is_available() -> bool:
    """Whether there are collectives: False."""
    return False


def is_initialized() -> bool:
    """Whether this process is part of a group: False."""
    return False


def is_nccl_available() -> bool:
    """False."""
    return False


def is_gloo_available() -> bool:
    """False."""
    return False


def is_mpi_available() -> bool:
    """False."""
    return False


def is_ucc_available() -> bool:
    """False."""
    return False


def is_torchelastic_launched() -> bool:
    """Whether the process was started by torchrun."""
    return os.environ.get("TORCHELASTIC_RUN_ID") is not None


def _missing(name: str) -> Any:
    def function(*args: Any, **kwargs: Any) -> Any:
        raise NotImplementedError(_REASON.format(name=name))

    function.__name__ = function.__qualname__ = name
    function.__doc__ = "NotImplementedError: see the module."
    return function


globals().update({name: _missing(name) for name in _NAMES})
