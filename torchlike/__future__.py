"""``torch.__future__``: how ``Module.to`` and its like change parameters."""

from __future__ import annotations

_switches = {"overwrite": False, "swap": False}


def set_overwrite_module_params_on_conversion(value: bool) -> None:
    """Whether ``Module.to`` puts new parameters in place of the old ones rather than changing their data."""
    _switches["overwrite"] = value


def get_overwrite_module_params_on_conversion() -> bool:
    """What :func:`set_overwrite_module_params_on_conversion` set."""
    return _switches["overwrite"]


def set_swap_module_params_on_conversion(value: bool) -> None:
    """Whether ``Module.to`` and ``load_state_dict`` swap tensors rather than changing their data."""
    _switches["swap"] = value


def get_swap_module_params_on_conversion() -> bool:
    """What :func:`set_swap_module_params_on_conversion` set."""
    return _switches["swap"]
