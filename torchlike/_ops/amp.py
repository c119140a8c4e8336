"""What scaling of gradients is made of: dividing by the scale, finding infinities, and adapting the scale."""

from __future__ import annotations

import numpy as np
from jax import lax

from torchlike._ops.bodies import widened
from torchlike._ops.op import Arrays, composite, op


@op(name="_any_non_finite", namespaces=("_private",), nondiff=True)
def _any_non_finite(tensors: Arrays):
    """1.0 where any element of any tensor is infinite or NaN, else 0.0."""
    found = np.bool_(False)
    for x in tensors:
        finite = lax.reduce_and(lax.is_finite(widened(x)), tuple(range(x.ndim)))
        found = lax.bitwise_or(found, lax.bitwise_not(finite))
    return lax.convert_element_type(found, np.float32)


@composite(namespaces=("torch",))
def _amp_foreach_non_finite_check_and_unscale_(self, found_inf, inv_scale):
    """Multiply each tensor of a list by ``inv_scale`` in place; ``found_inf`` becomes 1.0 where any was not finite."""
    from torchlike.autograd.grad_mode import no_grad

    if not self:
        return
    with no_grad():
        bad = _any_non_finite(list(self))
        found_inf.copy_(found_inf.maximum(bad.to(found_inf.device)))
        for t in self:
            t.mul_(inv_scale)


@composite(namespaces=("torch",))
def _amp_update_scale_(input, growth_tracker, found_inf, scale_growth_factor, scale_backoff_factor, growth_interval):
    """Let a scale fall where ``found_inf`` is not zero, and grow after ``growth_interval`` steps in a row without."""
    from torchlike.autograd.grad_mode import no_grad

    with no_grad():
        if found_inf.item():
            input.mul_(scale_backoff_factor)
            growth_tracker.zero_()
            return input
        successful = int(growth_tracker.item()) + 1
        if successful == growth_interval:
            grown = input * scale_growth_factor
            if bool(grown.isfinite()):
                input.copy_(grown)
            growth_tracker.zero_()
        else:
            growth_tracker.fill_(successful)
    return input
