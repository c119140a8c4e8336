"""The tape under ``torchlike.autograd``: nodes and the backward walk, which know nothing of modules."""
