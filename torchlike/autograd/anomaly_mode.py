"""Finding the operation whose gradient went wrong.

While anomaly detection is on, each node remembers where the program made it. A node whose backward raises, or returns nan,
is reported with that place.
"""

from __future__ import annotations

import os
import sys
import traceback
import warnings
from collections.abc import Sequence
from typing import Any

import numpy as np

from torchlike._engine.value import Value, host
from torchlike._tape import walk
from torchlike._tape.graph import Node, observers
from torchlike._tensor.tensor import value_of

__all__ = ["detect_anomaly", "set_detect_anomaly"]

_TRACE, _PARENT = "traceback_", "parent_"
_NO_INFORMATION = (
    "No forward pass information available. Enable detect anomaly during forward pass for more information."
)
#: Frames of these parts of the package are not the program's.
_PACKAGE = os.path.dirname(os.path.dirname(os.path.abspath(__file__))) + os.sep
_INTERNAL = (*tuple(_PACKAGE + part for part in ("_ops", "_tensor", "_tape", "_engine", "autograd")), "<operator")


class _State:
    enabled = False
    check_nan = True
    #: The nodes that are being run, the innermost last.
    running: list[Node] = []


def is_anomaly_enabled() -> bool:
    """Whether anomaly detection is on."""
    return _State.enabled


def is_anomaly_check_nan_enabled() -> bool:
    """Whether a nan in a gradient counts as an anomaly."""
    return _State.check_nan


def set_anomaly_enabled(enabled: bool, check_nan: bool = True) -> None:
    """Turn anomaly detection on or off."""
    if enabled and not _State.enabled:
        observers.append(_remember)
        walk.guard = _run
    elif _State.enabled and not enabled:
        observers.remove(_remember)
        walk.guard = None
    _State.enabled, _State.check_nan = enabled, check_nan


def _remember(node: Node, operands: Any = (), outs: Any = ()) -> None:
    """Note where the program made a node, and which node's backward did so; an observer of the tape."""
    frame: Any = sys._getframe(1)
    while frame is not None and frame.f_code.co_filename.startswith(_INTERNAL):
        frame = frame.f_back
    node.metadata[_TRACE] = traceback.format_stack(frame)
    if _State.running:
        node.metadata[_PARENT] = _State.running[-1]


def _run(node: Node, grads: Sequence[Any], create_graph: bool) -> Sequence[Any]:
    """Run a node and report it where it fails; what the backward walk runs nodes with."""
    _State.running.append(node)
    try:
        results = node.apply_tensors(list(grads)) if create_graph else node.apply_values(list(grads))
        if _State.check_nan:
            _check(node, results)
        return results
    except Exception:
        _report(node)
        raise
    finally:
        _State.running.pop()


def _check(node: Node, results: Sequence[Any]) -> None:
    for i, result in enumerate(node._spread(results)):
        if result is None:
            continue
        array = host(result if type(result) is Value else value_of(result))
        if array.dtype.kind not in "biu" and np.isnan(array).any():
            raise RuntimeError(f"Function '{node.name()}' returned nan values in its {i}th output.")


def _report(node: Node) -> None:
    """Warn of a failing node, naming where it was made, and where the nodes were whose backward made it."""
    trace = node.metadata.get(_TRACE)
    text = f"Error detected in {node.name()}. "
    text += _NO_INFORMATION if trace is None else f"Traceback of forward call that caused the error:\n{''.join(trace)}"
    warnings.warn(text, stacklevel=2)
    parent = node.metadata.get(_PARENT)
    while parent is not None:
        trace = parent.metadata.get(_TRACE)
        text = f"\n\nPrevious calculation was induced by {parent.name()}. "
        if trace is None:
            text += _NO_INFORMATION
        else:
            text += f"Traceback of forward call that induced the previous calculation:\n{''.join(trace)}"
        warnings.warn(text, stacklevel=2)
        parent = parent.metadata.get(_PARENT)


class detect_anomaly:
    """While active, a backward that raises, or returns nan where ``check_nan``, is reported with the forward call behind it.

    >>> import torchlike as torch
    >>> x = torch.tensor([-1.0], requires_grad=True)
    >>> with torch.autograd.detect_anomaly():  # doctest: +SKIP
    ...     x.sqrt().sum().backward()
    Traceback (most recent call last):
        ...
    RuntimeError: Function 'SqrtBackward0' returned nan values in its 0th output.
    """

    def __init__(self, check_nan: bool = True) -> None:
        self.prev = _State.enabled
        self.check_nan = check_nan
        self.prev_check_nan = _State.check_nan
        warnings.warn(
            "Anomaly Detection has been enabled. This mode will increase the runtime and should only be enabled for debugging.",
            stacklevel=2,
        )

    def __enter__(self) -> None:
        set_anomaly_enabled(True, self.check_nan)

    def __exit__(self, *args: object) -> None:
        set_anomaly_enabled(self.prev, self.prev_check_nan)


class set_detect_anomaly:
    """Turn anomaly detection on or off at once; as a context manager, back again at the block's end."""

    def __init__(self, mode: bool, check_nan: bool = True) -> None:
        self.prev = _State.enabled
        self.prev_check_nan = _State.check_nan
        set_anomaly_enabled(mode, check_nan)

    def __enter__(self) -> None:
        pass

    def __exit__(self, *args: object) -> None:
        set_anomaly_enabled(self.prev, self.prev_check_nan)


detect_anomaly.__module__ = set_detect_anomaly.__module__ = "torch.autograd.anomaly_mode"
