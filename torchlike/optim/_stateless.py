"""Running an optimizer on other parameters and another state than its own."""

from __future__ import annotations

import contextlib
from collections import defaultdict
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, NamedTuple

from torchlike._tensor.tensor import Tensor

if TYPE_CHECKING:
    from torchlike.optim.optimizer import Optimizer

_NAME = "swap_in_optimizer_params_and_state"
_STYLE = f"{_NAME} requires optimizer.state_dict()-style "


class _GroupSwapinInfo(NamedTuple):
    """A parameter group of the optimizer, the one that takes its place, and the latter's parameters in order."""

    live_group: dict[str, Any]
    swapin_group: dict[str, Any]
    swapin_params: list[Tensor]


def _require(holds: Any, text: str) -> None:
    if not holds:
        raise RuntimeError(text)


def _checked_state(state: Any) -> dict[Any, Any]:
    _require(
        isinstance(state, dict),
        f"{_NAME} requires swapin_optim_state['state'] to be a dict mapping packed parameter ids to per-param state "
        f"dicts, got {type(state).__name__}.",
    )
    _require(not any(isinstance(k, Tensor) for k in state), _STYLE + "state keyed by packed parameter ids.")
    _require(
        all(isinstance(v, dict) for k, v in state.items() if isinstance(k, int)),
        f"{_NAME} requires per-parameter optimizer state entries to be dictionaries.",
    )
    return state


def _checked_ids(i: int, live: dict[str, Any], group: Any) -> list[int]:
    """The numbers of a group's parameters, if the group fits the optimizer's own."""
    _require(isinstance(group, dict), f"{_NAME} requires each optimizer param group to be a dictionary.")
    ids = group.get("params")
    _require(
        isinstance(ids, list) and all(isinstance(number, int) for number in ids),
        _STYLE + "param_groups[*]['params'] entries keyed by packed parameter ids.",
    )
    _require(
        len(live["params"]) == len(ids),
        f"swapin_optim_state param group {i} has a different number of params than the live optimizer param group.",
    )
    new, missing = [k for k in group if k not in live], [k for k in live if k not in group]
    _require(
        not (new or missing),
        _STYLE + f"param group keys to exactly match the live optimizer group keys for group {i}. "
        f"Keys only in swap-in: {new}. Keys only in live: {missing}.",
    )
    return ids


def _prepare_swap_in(
    optimizer: Optimizer, swapin_parameters: dict[str, Tensor], swapin_optim_state: dict[str, Any]
) -> tuple[dict[Any, Any], list[_GroupSwapinInfo]]:
    """Check parameters and state against the optimizer and match them up, group by group."""
    _require(optimizer.state, f"{_NAME} requires initialized optimizer state.")
    _require(isinstance(swapin_optim_state, dict), f"{_NAME} requires a DCP-style optimizer state_dict.")
    state = _checked_state(swapin_optim_state.get("state"))
    groups: Any = swapin_optim_state.get("param_groups")
    _require(
        isinstance(groups, list),
        f"{_NAME} requires swapin_optim_state['param_groups'] to be a list of param-group dicts, "
        f"got {type(groups).__name__}.",
    )
    _require(
        len(optimizer.param_groups) == len(groups),
        "swapin_optim_state has a different number of parameter groups than the live optimizer.",
    )
    parameters, start, seen = list(swapin_parameters.values()), 0, set()
    infos = []
    for i, (live, group) in enumerate(zip(optimizer.param_groups, groups, strict=True)):
        ids = _checked_ids(i, live, group)
        seen.update(ids)
        end = start + len(ids)
        _require(
            end <= len(parameters),
            f"{_NAME} requires the explicit parameter state to match optimizer.param_groups ordering.",
        )
        infos.append(_GroupSwapinInfo(live, group, parameters[start:end]))
        start = end
    extra = [k for k in state if k not in seen]
    _require(
        not extra,
        f"{_NAME} requires swapin_optim_state['state'] to be keyed only by packed parameter ids from "
        f"param_groups[*]['params']; got extra keys {extra!r}.",
    )
    return state, infos


@contextlib.contextmanager
def swap_in_optimizer_params_and_state(
    optimizer: Optimizer, swapin_parameters: dict[str, Tensor], swapin_optim_state: dict[str, Any]
) -> Iterator[None]:
    """Let an optimizer work on other parameters and another state while the context lasts.

    In-place changes of the given tensors stay; new tensors that a step puts into the state do not.

    Args:
        optimizer: the optimizer, which must have some state.
        swapin_parameters: the parameters by name, in the order of the optimizer's own.
        swapin_optim_state: what ``optimizer.state_dict()`` would return; its options hold for the groups.
    """
    state, infos = _prepare_swap_in(optimizer, swapin_parameters, swapin_optim_state)
    own_state, own_groups = optimizer.state, [dict(group) for group in optimizer.param_groups]
    try:
        swapped: defaultdict[Any, Any] = defaultdict(dict)
        for live, group, params in infos:
            live.update(group)
            live["params"] = params
            for param, number in zip(params, group["params"], strict=True):
                swapped[param] = dict(state.get(number, {}))
        optimizer.state = swapped
        yield
    finally:
        for live, own in zip(optimizer.param_groups, own_groups, strict=True):
            live.clear()
            live.update(own)
        optimizer.state = own_state


swap_in_optimizer_params_and_state.__module__ = "torch.optim"
