"""One step of one parameter group: which tensors take part, and the one operation that is recorded for all of them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from types import SimpleNamespace
from typing import Any, NamedTuple

import numpy as np

import torchlike as torch
from torchlike._engine.instance import Kernel
from torchlike._engine.trace import record
from torchlike._engine.value import Value, concrete, host
from torchlike._tensor.tensor import Tensor, assign, host_array, value_of, wrap
from torchlike.optim import _transforms
from torchlike.optim.optimizer import (
    API_CHANGED,
    Optimizer,
    _device_dtype_check_for_fused,
    _get_capturable_supported_devices,
    _get_scalar_dtype,
    _to_scalar,
)

CAPTURABLE = "If capturable=True, {} must be on supported devices: {}."
STEP_REQUIRES_GRAD = "`requires_grad` is not supported for `step` in differentiable mode"

Memory = dict[str, Any]
"""What an optimizer remembers of one parameter, ``optimizer.state[p]``."""


class Batch(NamedTuple):
    """Parameters with their gradients and memories, in lists of equal length."""

    params: list[Tensor]
    grads: list[Tensor]
    memories: list[Memory]


class GroupOptimizer(Optimizer):
    """An optimizer whose step on a group is one rule of ``_transforms``, recorded as one operation.

    State comes in two kinds. *Counters* are single numbers that only the program's own control flow determines (a step
    count); they stay on the host. *Buffers* are arrays as large as the parameter. Parameters of a group that agree in
    device and counters form a batch, as a rule the whole group, and a batch is one operation.
    """

    #: The rule, and the names of the counters among the state.
    _rule: Callable[..., Any]
    _counters: tuple[str, ...] = ("step",)
    #: What tells apart parameters whose state differs in form, from their memory: ``kind(memory)``.
    _kind: Callable[..., Any] | None = None
    #: Options that state dicts of older versions lack.
    _late_options: Mapping[str, Any] = {"foreach": None, "maximize": False, "differentiable": False}
    #: What ``capturable=True`` wants on an accelerator, and whether XLA's devices are among those.
    _captured: str = "params and state_steps"
    _captured_on_xla: bool = True

    # What an optimizer says of itself

    def _begin(self, group: dict[str, Any], p: Tensor, memory: Memory) -> None:
        """Put the state of a parameter that is stepped for the first time into ``memory``."""

    def _buffers(self, group: Mapping[str, Any], kind: Any) -> tuple[tuple[str, ...], tuple[str, ...]]:
        """The names of the buffers that the rule reads, and of those that it returns."""
        raise NotImplementedError

    def _plan(self, group: Mapping[str, Any], number: Callable, *counters: Any) -> tuple[tuple, tuple, tuple]:
        """What a step needs besides tensors.

        Args:
            group: the parameter group's options.
            number: brings an option that may be a tensor into the form in which the step wants it.
            *counters: the counters before the step, as NumPy scalars.

        Returns the rule's numbers, its options and the counters after the step.
        """
        raise NotImplementedError

    def _on_sparse(self, group: dict[str, Any], p: Tensor, grad: Tensor) -> Tensor | None:
        """Step a parameter whose gradient is sparse; or return a dense gradient, to be treated as all others."""
        raise RuntimeError(f"{type(self).__name__} does not support sparse gradients")

    def _check_group(self, group: dict[str, Any], p: Tensor, memory: Memory) -> None:
        """Raise where the group's flags do not allow this parameter; asked for groups that have such flags on."""
        if group.get("fused") and not memory:
            _device_dtype_check_for_fused(p)
        if group.get("capturable"):
            devices = _get_capturable_supported_devices(self._captured_on_xla)
            beside = all(memory[name].device.type == p.device.type for name in self._counters if name in memory)
            if not (p.device.type in devices and beside):
                raise AssertionError(CAPTURABLE.format(self._captured, devices))

    # What follows from it

    def __setstate__(self, state: dict[str, Any]) -> None:
        super().__setstate__(state)
        for group in self.param_groups:
            for name, default in self._late_options.items():
                group.setdefault(name, default)
            for p in group["params"]:
                memory = self.state.get(p, {})
                for name in self._counters:
                    if name in memory and not isinstance(memory[name], Tensor):
                        memory[name] = counter(group, p, float(memory[name]))

    def _run(self, closure: Callable[[], Any] | None) -> Any:
        """A whole step: the closure, if there is one, then each group."""
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        for group in self.param_groups:
            self._update(group)
        return loss

    def _update(self, group: dict[str, Any]) -> None:
        """Step one group."""
        checked = group.get("fused") or group.get("capturable")
        if checked and not _amp_allows(self, group):
            return
        state, remembers = self.state, self._remembers(group)
        params, grads, memories = batch = Batch([], [], [])
        for p in group["params"]:
            grad = p.grad
            if grad is None:
                continue
            if grad.is_sparse:
                grad = self._on_sparse(group, p, grad)
                if grad is None:
                    continue
            memory = state[p] if remembers else _NOTHING
            if checked:
                self._check_group(group, p, memory)
            if remembers and not memory:
                self._begin(group, p, memory)
            params.append(p)
            grads.append(grad)
            memories.append(memory)
        if params:
            self._update_all(group, batch)

    def _update_all(self, group: Mapping[str, Any], everything: Batch) -> None:
        """Step parameters that may differ in device or state, batch by batch."""
        params, _, memories = everything
        traits: list[list] = [[p._storage.device for p in params]]
        if self._kind is not None:
            traits.append([self._kind(memory) for memory in memories])
        # A step leaves one and the same value in the counters of its batch.
        traits += [[value_of(memory[name]) for memory in memories] for name in self._counters]
        n = len(params)
        batches = [everything]
        if self._repeats or [trait.count(trait[0]) for trait in traits] != [n] * len(traits):
            batches = _alike(everything, traits, self._repeats)
        update = self._update_differentiably if group.get("differentiable") else self._update_batch
        kinds = [None if self._kind is None else self._kind(batch.memories[0]) for batch in batches]
        for batch, kind in zip(batches, kinds, strict=True):
            memory = batch.memories[0]
            update(group, batch, kind, [_plain(value_of(memory[name])) for name in self._counters])

    def _remembers(self, group: Mapping[str, Any]) -> bool:
        """Whether the group's parameters have state at all."""
        return True

    def _update_batch(self, group: Mapping[str, Any], batch: Batch, kind: Any, counters: Sequence[Any]) -> None:
        params, grads, memories = batch
        numbers, options, after = self._plan(group, _number, *counters)
        read, written = self._buffers(group, kind)
        tensors, targets = params + grads, list(params)
        for name in read:
            buffers = [memory[name] for memory in memories]
            tensors += buffers
            targets += buffers
        values = _apply(self._rule, tensors, numbers, (len(params), options))
        # Written buffers are those that were read, or, at the start, new.
        _assign_all(targets, values)
        for i, value in enumerate(values[len(targets) :]):
            memories[i % len(params)][written[i // len(params)]] = wrap(value, params[0]._storage.device)
        self._set_counters(memories, after)

    def _set_counters(self, memories: list[Memory], after: Sequence[Any]) -> None:
        for name, number in zip(self._counters, after, strict=True):
            tensors = [memory[name] for memory in memories]
            spec = tensors[0]._spec
            if spec.ndim == 0 and [tensor._spec for tensor in tensors].count(spec) == len(tensors):
                values = [Value(np.array(number, spec.dtype), spec)] * len(tensors)
            else:
                values = [concrete(np.full(tensor._spec.shape, number, tensor._spec.dtype)) for tensor in tensors]
            _assign_all(tensors, values)

    def _update_differentiably(
        self, group: Mapping[str, Any], batch: Batch, kind: Any, counters: Sequence[Any]
    ) -> None:
        """The same with Tensors, so that the step itself is on the tape."""
        read, written = self._buffers(group, kind)
        for p, grad, memory in zip(*batch, strict=True):
            if "step" in memory and memory["step"].requires_grad:
                raise RuntimeError(STEP_REQUIRES_GRAD)
            with torch.enable_grad():
                numbers, options, after = self._plan(group, _to_scalar, *counters)
                buffers = [memory[name] for name in read]
                targets, operands = [p, *buffers], [p, grad, *buffers]
                if p.is_complex():
                    targets, operands = ([torch.view_as_real(t) for t in ts] for ts in (targets, operands))
                # Copies, because the tape may keep operands that the assignments below write to.
                param, grad, *state = [t.clone() for t in operands]
                param, state = self._rule(_TORCH, param, grad, tuple(state), numbers, options)
                for target, result in zip(targets, (param, *state), strict=False):
                    target.copy_(result)
            for name, result in zip(written[len(read) :], state, strict=False):
                result = result.detach().clone()
                memory[name] = torch.view_as_complex(result) if p.is_complex() else result
        self._set_counters(batch.memories, after)


def _alike(everything: Batch, traits: list[list], each_alone: bool) -> list[Batch]:
    """The parameters parted by their traits, which are compared as numbers; or each by itself."""
    places: dict[Any, list[int]] = {}
    for i, key in enumerate(zip(*[[_plain(x) for x in trait] for trait in traits], strict=True)):
        places.setdefault(i if each_alone else key, []).append(i)
    params, grads, memories = everything
    return [
        Batch([params[i] for i in part], [grads[i] for i in part], [memories[i] for i in part])
        for part in places.values()
    ]


def _plain(trait: Any) -> Any:
    """The number that a counter holds, as a NumPy scalar; any other trait as it is."""
    return host(trait).reshape(())[()] if type(trait) is Value else trait


_NOTHING: Memory = {}

#: The functions that a rule takes from its array library, where the arrays are Tensors.
_TORCH = SimpleNamespace(
    abs=lambda x: x.abs(), maximum=lambda x, y: torch.maximum(x, y), sign=lambda x: x.sign(), sqrt=lambda x: x.sqrt(),
    where=lambda condition, x, y: torch.where(condition, x, y), constant=lambda x: x.detach(),
)  # fmt: skip


def counter(group: Mapping[str, Any], p: Tensor, number: float) -> Tensor:
    """A counter's tensor: on the host, unless the group's flags want it beside the parameter."""
    fused = group.get("fused")
    if fused or group.get("capturable"):
        return torch.tensor(number, dtype=_get_scalar_dtype(is_fused=fused), device=p.device)
    return torch.tensor(number, dtype=_get_scalar_dtype())


def zeros_like(p: Tensor) -> Tensor:
    """A buffer of zeros for a parameter."""
    return torch.zeros_like(p, memory_format=torch.preserve_format)


def _number(x: Any) -> Any:
    """An option as a number; one given as a tensor keeps its precision, as a NumPy scalar."""
    return host_array(x).reshape(())[()] if isinstance(x, Tensor) else x


def _amp_allows(optimizer: Optimizer, group: Mapping[str, Any]) -> bool:
    """Divide the gradients by a gradient scaler's factor; whether they were found to be finite."""
    scale, found_inf = getattr(optimizer, "grad_scale", None), getattr(optimizer, "found_inf", None)
    if not group.get("fused"):
        return True
    if found_inf is not None and found_inf.item():
        return False
    if scale is not None:
        with torch.no_grad():
            for p in group["params"]:
                if p.grad is not None:
                    p.grad.div_(scale)
    return True


def _assign_all(tensors: Sequence[Tensor], values: Sequence[Value]) -> None:
    """``assign`` each of the first values to its tensor, without the call where there is nothing to see to."""
    for tensor, value in zip(tensors, values, strict=False):
        storage = tensor._storage
        if tensor._view is None and storage.host_array is None and not tensor._untracked:
            storage.value = value
            storage.writes += 1
            storage.version += 1
        else:
            assign(tensor, value)


_kernels: dict[Callable, Kernel] = {}


def _apply(rule: Callable, tensors: list[Tensor], numbers: tuple, static: tuple) -> list[Value]:
    """Record a rule on a batch as one operation; its results, flat."""
    kernel = _kernels.get(rule)
    if kernel is None:
        kernel = _kernels[rule] = Kernel(
            f"{rule.__name__}_step", lambda static, _: lambda *arrays: _transforms.step(rule, static, arrays)
        )
    values = [value_of(t) for t in tensors]
    # One vector of numbers: each argument of a program has its price.
    values.append(concrete(np.array(numbers, np.float64)))
    return record(kernel, static, values)[0]


def run_functional(
    cls: type[GroupOptimizer], params: list, grads: list, counters: Mapping[str, list], buffers: Mapping[str, list],
    **options: Any,
) -> None:  # fmt: skip
    """The functional form of an optimizer: one step on lists of tensors, which are updated in place.

    Args:
        cls: the optimizer.
        params: the parameters.
        grads: their gradients.
        counters: from the name of each counter to a list of tensors, one for each parameter.
        buffers: from the name of each buffer to such a list; it may hold None for a buffer that does not exist yet, and
            may be empty if the options do not call for the buffer.
        **options: the options of the group.
    """
    for name, tensors in counters.items():
        if not all(isinstance(t, Tensor) for t in tensors):
            raise RuntimeError(API_CHANGED.format("state_steps" if name == "step" else f"{name}s"))
    lists = {name: tensors for name, tensors in (*counters.items(), *buffers.items()) if tensors}
    memories = [{name: ts[i] for name, ts in lists.items() if ts[i] is not None} for i in range(len(params))]
    options["params"] = params
    object.__new__(cls)._update_all(options, Batch(params, grads, memories))
    for name, tensors in buffers.items():
        for i, memory in enumerate(memories if tensors else ()):
            tensors[i] = memory.get(name)
