"""``torch.cpu.amp``: old names of ``torch.amp``."""

from torchlike.cpu.amp.autocast_mode import autocast
from torchlike.cpu.amp.grad_scaler import GradScaler

__all__ = ["GradScaler", "autocast"]
