"""Checkpointing: activations that are computed again in the backward rather than kept.

Two ways: the reentrant one runs the function without a tape and again with one inside the backward; the other records the
function as usual but, by hooks on saved tensors, keeps placeholders, and runs the function again when the first of them is wanted.
"""

from __future__ import annotations

import contextlib
import enum
import sys
import traceback
import uuid
import warnings
import weakref
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager
from typing import Any

from torchlike import autograd, random
from torchlike._engine.trace import threads
from torchlike._tape import walk
from torchlike._tape.graph import observers
from torchlike._tensor.tensor import Tensor
from torchlike.autograd._saved import Saved
from torchlike.autograd.graph import saved_tensors_hooks

__all__ = [
    "checkpoint", "checkpoint_sequential", "CheckpointError", "CheckpointFunction", "check_backward_validity", "detach_variable",
    "get_device_states", "set_device_states", "noop_context_fn", "set_checkpoint_early_stop", "DefaultDeviceType",
    "set_checkpoint_debug_enabled", "CheckpointPolicy", "SelectiveCheckpointContext", "create_selective_checkpoint_contexts",
    "GraphExecGroup",
]  # fmt: skip

_PASS_EXPLICITLY = (
    "torch.utils.checkpoint: the use_reentrant parameter should be passed explicitly. Starting in PyTorch 2.9, calling checkpoint "
    "without use_reentrant will raise an exception. use_reentrant=False is recommended, but if you need to preserve the current "
    "default behavior, you can pass use_reentrant=True. Refer to docs for more details on the differences between the two "
    "variants."
)
_PASS_EXPLICITLY_SEQUENTIAL = (
    "torch.utils.checkpoint.checkpoint_sequential: the use_reentrant parameter should be passed explicitly. In version 2.9 we "
    "will raise an exception if use_reentrant is not passed. use_reentrant=False is recommended, but if you need to preserve the "
    "current default behavior, you can pass use_reentrant=True. Refer to docs for more details on the differences between the "
    "two variants."
)
_NOT_IN_GRAD = (
    "When use_reentrant=True, torch.utils.checkpoint is incompatible with .grad() or passing an `inputs` parameter to .backward()."
    " To resolve this error, you can either set use_reentrant=False, or call .backward() without passing the `inputs` argument."
)
_SUPPRESSED = (
    "torch.utils.checkpoint: the forward context provided by context_fn suppressed an exception raised during the checkpointed "
    "forward. This is not supported because checkpoint cannot return a value for a failed forward."
)
_TIP = """
Tip: To see a more detailed error message, either pass `debug=True` to
`torch.utils.checkpoint.checkpoint(...)` or wrap the code block
with `with torch.utils.checkpoint.set_checkpoint_debug_enabled(True):` to
enable checkpoint\u2011debug mode globally.

If this error occurs under torch.compile with automatic_dynamic_shapes enabled,
it may be because the recomputation selected a different compiled graph than the
forward pass (e.g., a dynamic graph instead of the original static graph).
To fix this, either:
  - Use torch._dynamo.mark_dynamic() to explicitly mark varying dimensions as
    dynamic upfront, avoiding the static-to-dynamic transition.
  - Call torch._C._dynamo.eval_frame._set_lru_cache(False) to disable LRU cache
    reordering, which can change which graph is checked first between forward
    and recompute.
See https://github.com/pytorch/pytorch/issues/166926 for more details and
workaround examples.
"""
_UNPACKED_TWICE = (
    "torch.utils.checkpoint: Unpack is being triggered for a tensor that was already unpacked once. {}If you are calling "
    "ctx.saved_tensors in backward, make sure to do so only once. Otherwise please open an issue with details on your use case."
)
_OVERLAPPING = (
    "Performing two backward calls that overlap (i.e. require the same saved activation in order to compute gradients) is not "
    "allowed while under the torch.utils.checkpoint.GraphExecGroup context. "
)


class CheckpointError(RuntimeError):
    """Raised where running a function again did not do what it did the first time."""


class _Settings:
    """What context managers of this module set for all checkpoints inside of them; None leaves it to each call."""

    debug: bool | None = None
    early_stop: bool | None = None


@contextlib.contextmanager
def set_checkpoint_debug_enabled(enabled: bool | None) -> Iterator[None]:
    """While active, overrides the ``debug`` argument of ``checkpoint``; None leaves it as it is."""
    before, _Settings.debug = _Settings.debug, enabled
    try:
        yield
    finally:
        _Settings.debug = before


@contextlib.contextmanager
def set_checkpoint_early_stop(enable: bool) -> Iterator[None]:
    """While active, says whether functions checkpointed now will be run again only as far as the backward needs."""
    before, _Settings.early_stop = _Settings.early_stop, enable
    try:
        yield
    finally:
        _Settings.early_stop = before


def detach_variable(inputs: tuple[Any, ...]) -> tuple[Any, ...]:
    """The inputs with their tensors detached, which require a gradient as they did."""
    if not isinstance(inputs, tuple):
        raise RuntimeError(f"Only tuple of tensors is supported. Got Unsupported input type: {type(inputs).__name__}")
    return tuple(t.detach().requires_grad_(t.requires_grad) if isinstance(t, Tensor) else t for t in inputs)


def check_backward_validity(inputs: Iterable[Any]) -> None:
    """Warn where no input requires a gradient."""
    if not any(t.requires_grad for t in inputs if isinstance(t, Tensor)):
        warnings.warn("None of the inputs have requires_grad=True. Gradients will be None", stacklevel=2)


class DefaultDeviceType:
    """The type of device whose random state is kept where no argument is on an accelerator."""

    _default_device_type: str | None = None

    @staticmethod
    def set_device_type(device: str = "cuda") -> None:
        """Choose the type."""
        DefaultDeviceType._default_device_type = device

    @staticmethod
    def get_device_type() -> str:
        """The type, by default the accelerator's or the host's."""
        if not DefaultDeviceType._default_device_type:
            from torchlike import accelerator

            current = accelerator.current_accelerator(True)
            DefaultDeviceType._default_device_type = current.type if current else "cpu"
        return DefaultDeviceType._default_device_type


def _tensors_in(x: Any) -> Iterator[Tensor]:
    if isinstance(x, Tensor):
        yield x
    elif isinstance(x, dict):
        for item in x.values():
            yield from _tensors_in(item)
    elif isinstance(x, (list, tuple)):
        for item in x:
            yield from _tensors_in(item)


def _infer_device_type(*args: Any) -> str:
    types = [t.device.type for t in _tensors_in(args) if t.device.type != "cpu"]
    if len(set(types)) > 1:
        warnings.warn(
            "Tensor arguments, excluding CPU tensors, are detected on at least two types of devices. Device state will only be "
            "saved for devices of a single device type, and the remaining devices will be ignored. Consequently, if any "
            "checkpointed functions involve randomness, this may result in incorrect gradients. (Note that if CUDA devices are "
            "among the devices detected, it will be prioritized; otherwise, the first device encountered will be selected.)"
            f"\nDevice types: {sorted(set(types))} first device type: {types[0]}",
            stacklevel=2,
        )
    if not types:
        return DefaultDeviceType.get_device_type()
    return "cuda" if "cuda" in types else types[0]


def get_device_states(*args: Any) -> tuple[list[int], list[Tensor]]:
    """The accelerators that the tensors among the arguments are on, and their random states."""
    devices = [t.get_device() for t in _tensors_in(args) if t.device.type not in ("cpu", "meta")]
    return devices, [random.accelerator_generator(index).get_state() for index in devices]


def set_device_states(devices: Iterable[int], states: Iterable[Tensor], *, device_type: str | None = None) -> None:
    """Put the random states of accelerators back."""
    if (device_type or DefaultDeviceType.get_device_type()) == "meta":
        return
    for index, state in zip(devices, states):
        random.accelerator_generator(index).set_state(state)


class _Surroundings:
    """What a function finds when it is called and must find again when it is run a second time."""

    def __init__(self, args: Any, preserve_rng_state: bool):
        self.preserve_rng_state = preserve_rng_state
        self.device_type = _infer_device_type(*args)
        if preserve_rng_state:
            self.cpu_state = random.get_rng_state()
            self.devices, self.device_states = get_device_states(*args)
        # Without the module nobody can have switched autocast on.
        self.amp = sys.modules.get("torchlike.amp")
        self.autocast = [] if self.amp is None else [self._autocast_state(t) for t in {self.device_type, "cpu"}]

    def _autocast_state(self, device_type: str) -> dict[str, Any]:
        import torchlike as torch

        return {
            "device_type": device_type,
            "enabled": torch.is_autocast_enabled(device_type),
            "dtype": torch.get_autocast_dtype(device_type),
            "cache_enabled": torch.is_autocast_cache_enabled(),
        }

    @contextlib.contextmanager
    def again(self) -> Iterator[None]:
        """A block in which they are as they were."""
        devices = self.devices if self.preserve_rng_state else []
        device_type = "cuda" if self.device_type == "cpu" else self.device_type
        with contextlib.ExitStack() as stack:
            stack.enter_context(
                random.fork_rng(devices=devices, enabled=self.preserve_rng_state, device_type=device_type)
            )
            if self.preserve_rng_state:
                random.set_rng_state(self.cpu_state)
                set_device_states(self.devices, self.device_states, device_type=device_type)
            for state in self.autocast:
                stack.enter_context(self.amp.autocast(**state))  # type: ignore[union-attr]
            yield


# The reentrant way.


class CheckpointFunction(autograd.Function):
    """Runs a function without a tape; its backward runs it with one, and that backward."""

    @staticmethod
    def forward(ctx: Any, run_function: Callable, preserve_rng_state: bool, *args: Any) -> Any:  # type: ignore[override]
        check_backward_validity(args)
        ctx.run_function = run_function
        ctx.surroundings = _Surroundings(args, preserve_rng_state)
        ctx.inputs = [None if isinstance(a, Tensor) else a for a in args]
        ctx.tensor_indices = [i for i, a in enumerate(args) if isinstance(a, Tensor)]
        ctx.save_for_backward(*[args[i] for i in ctx.tensor_indices])
        with autograd.no_grad():
            return run_function(*args)

    @staticmethod
    def backward(ctx: Any, *args: Any) -> Any:  # type: ignore[override]
        if not autograd._is_checkpoint_valid():
            raise RuntimeError(_NOT_IN_GRAD)
        inputs = list(ctx.inputs)
        for i, tensor in zip(ctx.tensor_indices, ctx.saved_tensors):
            inputs[i] = tensor
        with ctx.surroundings.again():
            detached = detach_variable(tuple(inputs))
            with autograd.enable_grad():
                outputs = ctx.run_function(*detached)
        outputs = (outputs,) if isinstance(outputs, Tensor) else outputs
        pairs = [(o, g) for o, g in zip(outputs, args) if isinstance(o, Tensor) and o.requires_grad]
        if not pairs:
            raise RuntimeError("none of output has requires_grad=True, this checkpoint() is not necessary")
        autograd.backward(*zip(*pairs))
        return None, None, *[t.grad if isinstance(t, Tensor) else None for t in detached]


# The other way.


class GraphExecGroup:
    """Backward passes inside of this block run each checkpointed function again once at most, all together.

    No two of them may use the same saved activation.
    """

    _current: GraphExecGroup | None = None

    def __enter__(self) -> GraphExecGroup:
        if GraphExecGroup._current is not None:
            raise RuntimeError(
                f"GraphExecGroup contexts cannot be nested. Already inside group {GraphExecGroup._current}"
            )
        GraphExecGroup._current = self
        return self

    def __exit__(self, *args: object) -> None:
        GraphExecGroup._current = None

    @classmethod
    def _get_current_group(cls) -> GraphExecGroup | None:
        return cls._current


def noop_context_fn() -> tuple[AbstractContextManager, AbstractContextManager]:
    """Two contexts that do nothing."""
    return contextlib.nullcontext(), contextlib.nullcontext()


class _StopRecomputation(Exception):
    """Raised when everything that was saved has been computed again."""


class _Holder:
    """Stands in a node for a tensor that is not kept."""

    def __init__(self) -> None:
        #: For each backward that ran the function again: the tensor, None once it was used.
        self.tensors: dict[Any, Tensor | None] = {}


def _metadata(t: Tensor) -> dict[str, Any]:
    return {"shape": t.shape, "dtype": t.dtype, "device": t.device}


_DETERMINISM_CHECKS: dict[str, Callable[[Tensor], Any]] = {"default": _metadata, "none": lambda _: None}


class _Frame:
    """One call of a checkpointed function: what it saved, and how to run it again."""

    def __init__(self, recompute: Callable, args: tuple, early_stop: bool, describe: Callable[[Tensor], Any]):
        self.recompute = recompute
        self.args = [Saved(a, None) if isinstance(a, Tensor) else a for a in args]
        self.early_stop = early_stop
        self.describe = describe
        self.holders: list[weakref.ref[_Holder]] = []
        self.described: list[Any] = []
        self.completed = False
        self.incomplete = False
        #: How many tensors each backward has computed again.
        self.counts: dict[Any, int] = {}

    def pack(self, t: Tensor) -> _Holder:
        """What a node keeps instead of ``t``."""
        holder = _Holder()
        self.holders.append(weakref.ref(holder))
        self.described.append(self.describe(t))
        return holder

    def unpack(self, holder: _Holder) -> Tensor:
        """The tensor, computed again."""
        group: Any = GraphExecGroup._current
        if group is None:
            this = walk.running.innermost
            group = uuid.uuid4() if this is None else this.id
        if group not in self.counts:
            self._run(group)
        tensor = holder.tensors[group]
        if tensor is None:
            raise CheckpointError(_UNPACKED_TWICE.format(_OVERLAPPING if GraphExecGroup._current is not None else ""))
        holder.tensors[group] = None
        return tensor

    def _run(self, group: Any) -> None:
        self.counts[group] = 0
        args = [a.unpack(None) if isinstance(a, Saved) else a for a in self.args]  # type: ignore[arg-type]
        with contextlib.suppress(_StopRecomputation):
            with saved_tensors_hooks(lambda t: self._pack_again(t, group), lambda t: t), autograd.enable_grad():
                self.recompute(*args)
        self._check(group)

    def _pack_again(self, t: Tensor, group: Any) -> Tensor:
        t = t.detach() if t.requires_grad else t
        index = self.counts[group]
        self.counts[group] += 1
        if index >= len(self.holders):
            if not self.completed:
                self.incomplete = True
                return t
            raise CheckpointError(
                "torch.utils.checkpoint: trying to save more tensors during recomputation than during the original forward "
                f"pass.\n{_TIP}"
            )
        holder = self.holders[index]()
        if holder is not None:
            holder.tensors[group] = t
        if self.early_stop and index + 1 == len(self.holders):
            raise _StopRecomputation
        return t

    def _check(self, group: Any) -> None:
        """CheckpointError where running the function again saved something else."""
        if self.incomplete:
            return
        if len(self.holders) != self.counts[group]:
            raise CheckpointError(
                "torch.utils.checkpoint: A different number of tensors was saved during the original forward and recomputation."
                f"\nNumber of tensors saved during forward: {len(self.holders)}\n"
                f"Number of tensors saved during recomputation: {self.counts[group]}.\n{_TIP}"
            )
        different = ""
        for i, (reference, before) in enumerate(zip(self.holders, self.described)):
            holder = reference()
            if holder is None:
                continue
            now = self.describe(holder.tensors[group])  # type: ignore[arg-type]
            if now != before:
                different += f"tensor at position {i}:\nsaved metadata: {before}\nrecomputed metadata: {now}\n"
        if different:
            raise CheckpointError(
                "torch.utils.checkpoint: Recomputed values for the following tensors have different metadata than during the "
                f"forward pass.\n{different}.\n{_TIP}"
            )


class _Log:
    """The nodes that a run of a function puts on the tape, each with the place where the program did so."""

    def __init__(self) -> None:
        self.entries: list[tuple[str, str]] = []

    @contextlib.contextmanager
    def recording(self) -> Iterator[None]:
        """A block in which they are written down."""

        def note(node: Any, operands: Any, outs: Any) -> None:
            self.entries.append((node.name(), "".join(traceback.format_stack(limit=12)[:-2])))

        observers.append(note)
        try:
            yield
        finally:
            observers.remove(note)


def _describe_runs(first: _Log, second: _Log) -> str:
    def traces(label: str, log: _Log) -> str:
        total = len(log.entries)
        return "".join(
            f"{name}   ({i + 1} of {total} in {label})\n\n{stack}\n\n" for i, (name, stack) in enumerate(log.entries)
        )

    return (
        "An error happened while unpacking tensors; the operations of both runs follow because you passed `debug=True` to "
        "`torch.utils.checkpoint.checkpoint()`.\n\n"
        f"1. Stack traces of the operators that ran in the original forward\n\n{traces('original', first)}"
        f"2. Stack traces of the operators that ran during recomputation\n\n{traces('recompute', second)}"
        "3. Log of operators in the original forward and recomputation\n\nOperations executed during the original forward:\n\n"
        + "\n".join(name for name, _ in first.entries)
        + "\n\nOperations executed during recomputation:\n\n"
        + "\n".join(name for name, _ in second.entries)
        + "\n\nERROR: Detected non-determinism while running activation checkpointing\n"
    )


def _without_reentry(
    function: Callable, args: tuple, kwargs: dict[str, Any], preserve_rng_state: bool, context_fn: Callable,
    determinism_check: str, debug: bool, early_stop: bool,
) -> Any:  # fmt: skip
    logs = None
    if debug if _Settings.debug is None else _Settings.debug:
        if context_fn is not noop_context_fn:
            raise ValueError("debug=True is incompatible with non-default context_fn")
        logs = _Log(), _Log()
        context_fn = lambda: (logs[0].recording(), logs[1].recording())  # noqa: E731
    if determinism_check not in _DETERMINISM_CHECKS:
        raise ValueError(f"determinism_check should be one of {list(_DETERMINISM_CHECKS)}, but got {determinism_check}")
    surroundings = _Surroundings(args, preserve_rng_state)
    forward_context, recompute_context = context_fn()

    def recompute(*inputs: Any) -> None:
        with surroundings.again(), recompute_context:
            function(*inputs, **kwargs)

    if not threads.grad_enabled:
        return function(*args, **kwargs)
    stop = early_stop if _Settings.early_stop is None else _Settings.early_stop
    frame = _Frame(recompute, args, stop, _DETERMINISM_CHECKS[determinism_check])

    def unpack(holder: _Holder) -> Tensor:
        try:
            return frame.unpack(holder)
        except CheckpointError as error:
            if logs is None:
                raise
            raise CheckpointError(_describe_runs(*logs)) from error

    with saved_tensors_hooks(frame.pack, unpack), forward_context:
        result = function(*args, **kwargs)
        frame.completed = True
    if not frame.completed:
        raise RuntimeError(_SUPPRESSED)
    return result


def checkpoint(
    function: Callable, *args: Any, use_reentrant: bool | None = None, context_fn: Callable = noop_context_fn,
    determinism_check: str = "default", debug: bool = False, early_stop: bool = True, **kwargs: Any,
) -> Any:  # fmt: skip
    """Call a function without keeping its intermediate results: the backward runs it again to get them.

    Args:
        function: called with the other arguments. Run again, it must compute the same.
        args: its arguments.
        use_reentrant: which of the two ways to do it. False is recommended; it has fewer limitations: the reentrant way works
            only in ``backward()`` without ``inputs``, needs an argument that requires a gradient, and sees only tensors that
            are arguments themselves.
        context_fn: returns two context managers, for the first run and for the second (not reentrant).
        determinism_check: ``"default"`` compares shapes, dtypes and devices of both runs, ``"none"`` nothing.
        debug: whether errors list the operations of both runs (not reentrant).
        early_stop: whether the second run ends as soon as all that is needed is there (not reentrant).
        kwargs: the function's keyword arguments (not reentrant). ``preserve_rng_state`` says whether both runs draw the same
            random numbers, by default True.

    Returns:
        What the function returns.

    >>> import torchlike as torch
    >>> x = torch.ones(2, requires_grad=True)
    >>> checkpoint(lambda t: t.exp().sin(), x, use_reentrant=False).sum().backward()
    >>> x.grad
    tensor([-2.4784, -2.4784])
    """
    if use_reentrant is None:
        warnings.warn(_PASS_EXPLICITLY, stacklevel=2)
        use_reentrant = True
    preserve = kwargs.pop("preserve_rng_state", True)
    if use_reentrant:
        if kwargs:
            raise ValueError("Unexpected keyword arguments: " + ",".join(kwargs))
        if context_fn is not noop_context_fn or debug is not False:
            raise ValueError("Passing `context_fn` or `debug` is only supported when use_reentrant=False.")
        return CheckpointFunction.apply(function, preserve, *args)
    return _without_reentry(function, args, kwargs, preserve, context_fn, determinism_check, debug, early_stop)


def checkpoint_sequential(
    functions: Any, segments: int, input: Any, use_reentrant: bool | None = None, **kwargs: Any
) -> Any:  # fmt: skip
    """Call functions one after the other, checkpointed in segments; the last segment is not.

    Args:
        functions: a ``Sequential`` or a list of functions of one tensor.
        segments: how many segments to make of them.
        input: the argument of the first function.
        use_reentrant: see ``checkpoint``.
        kwargs: ``preserve_rng_state``; see ``checkpoint``.

    Returns:
        What the last function returns.
    """
    from torchlike.nn import Sequential

    if use_reentrant is None:
        warnings.warn(_PASS_EXPLICITLY_SEQUENTIAL, stacklevel=2)
        use_reentrant = True
    preserve = kwargs.pop("preserve_rng_state", True)
    if kwargs:
        raise ValueError("Unexpected keyword arguments: " + ",".join(kwargs))
    if isinstance(functions, Sequential):
        functions = list(functions.children())

    def segment(start: int, end: int) -> Callable:
        def run(x: Any) -> Any:
            for function in functions[start:end]:
                x = function(x)
            return x

        return run

    size = len(functions) // segments
    done = size * (segments - 1)
    for start in range(0, done, size):
        input = checkpoint(
            segment(start, start + size), input, use_reentrant=use_reentrant, preserve_rng_state=preserve
        )
    return segment(done, len(functions))(input)


class CheckpointPolicy(enum.Enum):
    """What to do with an operation's result in selective checkpointing."""

    MUST_SAVE = 0
    PREFER_SAVE = 1
    MUST_RECOMPUTE = 2
    PREFER_RECOMPUTE = 3
    MUST_CPU_OFFLOAD = 4
    PREFER_CPU_OFFLOAD = 5


class SelectiveCheckpointContext:
    """What a policy of selective checkpointing is told of an operation."""

    def __init__(self, *, is_recompute: bool, op_output: Any = None) -> None:
        self.is_recompute = is_recompute
        self.op_output = op_output


def create_selective_checkpoint_contexts(policy_fn_or_list: Any, allow_cache_entry_mutation: bool = False) -> Any:
    """Contexts for ``checkpoint`` that keep the results of some operations: NotImplementedError, as policies name operations by
    PyTorch's own operator objects, which there are none of here."""
    raise NotImplementedError(
        "selective activation checkpointing chooses among PyTorch's dispatcher operators (torch.ops.aten), which do not exist "
        "here; use torch.utils.checkpoint.checkpoint on the parts to recompute"
    )


for _public in (checkpoint, checkpoint_sequential, CheckpointError, CheckpointFunction, GraphExecGroup):
    _public.__module__ = "torch.utils.checkpoint"
