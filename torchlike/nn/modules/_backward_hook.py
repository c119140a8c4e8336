"""Full backward hooks of a module: two identity nodes around its forward, where gradients pass and hooks look on."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from typing import Any

import torchlike as torch
from torchlike._tensor.tensor import Tensor

NO_INPUT_REQUIRES_GRAD = (
    "Full backward hook is firing when gradients are computed "
    "with respect to module outputs since no inputs require gradients. See "
    "https://docs.pytorch.org/docs/main/generated/torch.nn.Module.html#torch.nn.Module.register_full_backward_hook "
    "for more details."
)
HOOK_RETURNED_GRAD = (
    "Backward hook for Modules where no input requires gradient should always return None or None for all gradients."
)


class BackwardHook:
    """The hooks of one call of a module.

    The node at the output gathers ``grad_output`` and runs the pre-hooks; the node at the input runs the hooks with
    ``grad_input`` and ``grad_output``. Where no input requires a gradient, the node at the output runs both.

    Args:
        module: the module.
        user_hooks: functions of (module, grad_input, grad_output).
        user_pre_hooks: functions of (module, grad_output).
    """

    def __init__(self, module: Any, user_hooks: list[Callable], user_pre_hooks: list[Callable]) -> None:
        self.module = module
        self.user_hooks = user_hooks
        self.user_pre_hooks = user_pre_hooks
        self.grad_outputs: tuple | None = None
        self.n_inputs = self.n_outputs = -1
        # Positions of the tensors among the arguments; None if no gradient passes there.
        self.input_tensors_index: list[int] | None = None
        self.output_tensors_index: list[int] | None = None
        # Shape, type and device of the input tensors that require no gradient: hooks see zeros for them.
        self.frozen_inputs: dict[int, tuple] = {}

    def setup_input_hook(self, args: tuple) -> tuple:
        """The arguments, with the input node in front of them."""
        passed, self.input_tensors_index = self._pass_through(args, self._at_input)
        self.n_inputs = len(args)
        self.frozen_inputs = {
            i: (arg.shape, arg.dtype, arg.device)
            for i, arg in enumerate(args)
            if isinstance(arg, Tensor) and not arg.requires_grad
        }
        return passed

    def setup_output_hook(self, args: Any) -> Any:
        """The outputs, with the output node behind them."""
        outputs = args if isinstance(args, tuple) else (args,)
        passed, self.output_tensors_index = self._pass_through(outputs, self._at_output)
        self.n_outputs = len(outputs)
        return passed if isinstance(args, tuple) else passed[0]

    def _pass_through(self, args: tuple, hook: Callable) -> tuple[tuple, list[int] | None]:
        """Send the tensors among ``args`` through an identity node that has the hook."""
        from ._functions import BackwardHookFunction

        positions = [i for i, arg in enumerate(args) if isinstance(arg, Tensor)]
        if not (torch.is_grad_enabled() and any(args[i].requires_grad for i in positions)):
            return args, None
        passed = BackwardHookFunction.apply(*(args[i] for i in positions))
        node = next(tensor.grad_fn for tensor in passed if tensor.grad_fn is not None)
        node.register_hook(hook)
        result = list(args)
        for i, tensor in zip(positions, passed, strict=True):
            result[i] = tensor
        # A named tuple stays one.
        return (tuple(result) if type(args) is tuple else type(args)(*result)), positions

    def _at_output(self, _: Any, grad_output: tuple) -> tuple | None:
        grads = arrived = _spread(self.output_tensors_index, grad_output, self.n_outputs)
        for hook in self.user_pre_hooks:
            replaced = hook(self.module, grads)
            if replaced is None:
                continue
            if len(replaced) != len(grads):
                raise RuntimeError(
                    "Backward pre hook returned an invalid number of grad_output, "
                    f"got {len(replaced)}, but expected {len(grads)}"
                )
            grads = replaced
        self.grad_outputs = grads
        if self.input_tensors_index is None:
            warnings.warn(NO_INPUT_REQUIRES_GRAD, stacklevel=5)
            for hook in self.user_hooks:
                returned = hook(self.module, (None,) * self.n_inputs, grads)
                if returned is not None and not (isinstance(returned, tuple) and all(r is None for r in returned)):
                    raise RuntimeError(HOOK_RETURNED_GRAD)
            self.grad_outputs = None
        return None if grads is arrived else tuple(grads[i] for i in self.output_tensors_index or ())

    def _at_input(self, grad_input: tuple, _: Any) -> tuple | None:
        if self.grad_outputs is None:  # Gradients arrive here without having passed the output node.
            return None
        seen = list(grad_input)
        for place, i in enumerate(self.input_tensors_index or ()):
            if seen[place] is None and i in self.frozen_inputs:
                shape, dtype, device = self.frozen_inputs[i]
                seen[place] = torch.zeros(shape, dtype=dtype, device=device)
        grads = arrived = _spread(self.input_tensors_index, seen, self.n_inputs)
        for hook in self.user_hooks:
            replaced = hook(self.module, grads, self.grad_outputs)
            if replaced is None:
                continue
            if len(replaced) != len(grads):
                raise RuntimeError(
                    "Backward hook returned an invalid number of grad_input, "
                    f"got {len(replaced)}, but expected {len(grads)}"
                )
            grads = replaced
        self.grad_outputs = None
        return None if grads is arrived else tuple(grads[i] for i in self.input_tensors_index or ())


def _spread(positions: list[int] | None, values: Sequence, length: int) -> tuple:
    """A tuple with the values at their positions and ``None`` elsewhere."""
    spread: list[Any] = [None] * length
    for i, value in zip(positions or (), values, strict=True):
        spread[i] = value
    return tuple(spread)
