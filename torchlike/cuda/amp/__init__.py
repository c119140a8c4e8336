"""``torch.cuda.amp``: old names of ``torch.amp``."""

from torchlike.cuda.amp.autocast_mode import autocast, custom_bwd, custom_fwd
from torchlike.cuda.amp.grad_scaler import GradScaler

__all__ = ["GradScaler", "autocast", "custom_bwd", "custom_fwd"]
