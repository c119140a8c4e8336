"""``torch.compile``."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

_MODES = ("default", "lite", "reduce-overhead", "max-autotune-no-cudagraphs", "max-autotune")


def compile(
    model: Callable | None = None, *, fullgraph: bool = False, dynamic: bool | None = None,
    backend: str | Callable | None = None, mode: str | None = None, options: dict[str, Any] | None = None,
    name: str | None = None, disable: bool = False, recompile_limit: int | None = None, isolate_recompiles: bool = False,
    shapes_spec: Any = None,
) -> Any:  # fmt: skip
    """``model`` again: a function as it is, a module wrapped in one that calls it.

    Operations are recorded while they run, with ``torch.compile`` or without, and what repeats runs as one program of XLA.
    The arguments are checked as torch checks them and change nothing else.

    Args:
        model: a function or a module; without one, a decorator is returned.
        fullgraph: fulfilled anyway: nothing breaks a recording.
        dynamic: without effect: sizes are constants of a program.
        backend: the name of one of torch's backends. One's own function of a graph cannot be given: there is no
            ``torch.fx`` graph to give it.
        mode: one of torch's modes.
        options: options of the backend.
        name: a name for the compiled function.
        disable: without effect.
        recompile_limit: without effect.
        isolate_recompiles: without effect.
        shapes_spec: without effect.

    Raises:
        RuntimeError: no such mode, or both ``mode`` and ``options`` are given.
        torch._dynamo.exc.InvalidBackend: no such backend.
        NotImplementedError: ``backend`` is a function.

    >>> import torchlike as torch
    >>> @torch.compile
    ... def double(x):
    ...     return x * 2
    >>> double(torch.ones(2))
    tensor([2., 2.])
    """
    from torchlike import compiler
    from torchlike._dynamo import _BACKENDS
    from torchlike._dynamo.eval_frame import compiled
    from torchlike._dynamo.exc import InvalidBackend

    backend = compiler.get_default_backend() if backend is None else backend
    if model is None:

        def decorate(function: Callable) -> Any:
            if function is None:
                raise RuntimeError("Model can't be None")
            return compile(
                function, fullgraph=fullgraph, dynamic=dynamic, backend=backend, mode=mode, options=options, name=name,
                disable=disable, recompile_limit=recompile_limit, isolate_recompiles=isolate_recompiles,
                shapes_spec=shapes_spec,
            )  # fmt: skip

        return decorate
    if mode is not None and options is not None:
        raise RuntimeError("Either mode or options can be specified, but both can't be specified at the same time.")
    if not isinstance(backend, str):
        raise NotImplementedError(
            "torch.compile(backend=<function>): a backend of one's own is given a torch.fx graph, and torchlike makes none; its "
            "recorded operations are compiled by XLA"
        )
    if backend not in _BACKENDS:
        raise InvalidBackend(backend)
    if backend == "inductor" and mode is not None and mode not in _MODES:
        raise RuntimeError(f"Unrecognized mode={mode}, should be one of: {', '.join(_MODES)}")
    if not callable(model):
        raise AssertionError(f"A callable function is expected, but {type(model)} is provided.")
    return compiled(model)
