"""One step of one parameter group: which tensors take part, and the one operation that is recorded for all of them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from types import SimpleNamespace
from typing import Any

import numpy as np

import torchlike as torch
from torchlike._engine.instance import Kernel
from torchlike._engine.trace import record, step_boundary
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
Entry = tuple[Tensor, Tensor, Memory]
"""A parameter with its gradient and its memory."""


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
                memory = self.state.get(p)
                for name in self._counters if memory else ():
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
        step_boundary()
        return loss

    def _update(self, group: dict[str, Any]) -> None:
        """Step one group."""
        checked = group.get("fused") or group.get("capturable")
        if checked and not _amp_allows(self, group):
            return
        state, remembers = self.state, self._remembers(group)
        params, grads, memories = [], [], []
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
            self._update_lists(group, params, grads, memories)

    def _update_lists(
        self, group: Mapping[str, Any], params: list[Tensor], grads: list[Tensor], memories: list[Memory]
    ) -> None:
        """Step parameters, given with gradients and memories, batch by batch."""
        # What has to agree within a batch. The steps of one leave the same values in its counters.
        traits = [[p._storage.device for p in params]]
        if self._kind is not None:
            traits.append([self._kind(memory) for memory in memories])
        traits += [[value_of(memory[name]) for memory in memories] for name in self._counters]
        n = len(params)
        if all(trait.count(trait[0]) == n for trait in traits) and not self._repeats:
            batches = [range(n)]
        else:
            batches = _alike(traits, self._repeats)
            traits = [[_plain(x) for x in trait] for trait in traits]

    def _remembers(self, group: Mapping[str, Any]) -> bool:
        """Whether the group's parameters have state at all."""
        return True

    def _remembers(self, group: Mapping[str, Any]) -> bool:
        """Whether the group's parameters have state at all."""
        return True

    def _update_batch(self, group: Mapping[str, Any], batch: list[Entry], kind: Any, counters: tuple) -> None:
        numbers, options, after = self._plan(group, _number, *counters)
        read, written = self._buffers(group, kind)
        tensors: list[Tensor] = []
        targets: list[Tensor | None] = []
        for p, grad, memory in batch:
            tensors += (p, grad, *[memory[name] for name in read])
            targets += (p, *[memory.get(name) for name in written])
        values = _apply(self._rule, tensors, numbers, (len(batch), options))
        for target, value in zip(targets, values, strict=True):
            if target is not None:
                assign(target, value)
        if read != written:
            results = iter(values)
            for p, _, memory in batch:
                next(results)
                for name, value in zip(written, results, strict=False):
                    if memory.get(name) is None:
                        memory[name] = wrap(value, p._storage.device)
        self._set_counters(batch, after)

    def _set_counters(self, batch: list[Entry], after: tuple) -> None:
        for name, number in zip(self._counters, after, strict=True):
            shared, spec = None, None
            for _, _, memory in batch:
                tensor = memory[name]
                if tensor._spec is not spec:
                    spec = tensor._spec
                    shared = Value(np.array(number, spec.dtype).reshape(spec.shape), spec)
                assign(tensor, shared)

    def _update_differentiably(self, group: Mapping[str, Any], batch: list[Entry], kind: Any, counters: tuple) -> None:
        """The same with Tensors, so that the step itself is on the tape."""
        read, written = self._buffers(group, kind)
        for p, grad, memory in batch:
            if "step" in memory and memory["step"].requires_grad:
                raise RuntimeError(STEP_REQUIRES_GRAD)
            with torch.set_grad_enabled(group["differentiable"]):
                numbers, options, after = self._plan(group, _to_scalar, *counters)
                targets = [p, *[memory[name] for name in written if name in memory]]
                operands = [p, grad, *[memory[name] for name in read]]
                if p.is_complex():
                    targets, operands = ([torch.view_as_real(t) for t in ts] for ts in (targets, operands))
                # Copies, because the tape may keep operands that the assignments below write to.
                param, grad, *state = [t.clone() for t in operands]
                param, state = self._rule(_TORCH, param, grad, tuple(state), numbers, options)
                results = [param, *state]
                for target, result in zip(targets, results, strict=False):
                    target.copy_(result)
                for name, result in zip(written, state, strict=True):
                    if name not in memory:
                        result = torch.view_as_complex(result) if p.is_complex() else result
                        memory[name] = result.detach().clone()
        self._set_counters(batch, after)


_NOTHING: Memory = {}

#: The functions that a rule takes from its array library, where the arrays are Tensors.
_TORCH = SimpleNamespace(
    abs=lambda x: x.abs(), maximum=lambda x, y: torch.maximum(x, y), sign=lambda x: x.sign(), sqrt=lambda x: x.sqrt(),
    where=lambda condition, x, y: torch.where(condition, x, y),
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
    object.__new__(cls)._update_entries(options, list(zip(params, grads, memories, strict=True)))
    step_boundary()
    for name, tensors in buffers.items():
        for i, memory in enumerate(memories if tensors else ()):
            tensors[i] = memory.get(name)
