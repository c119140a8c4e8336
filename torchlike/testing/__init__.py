"""``torch.testing``: comparisons that raise, and tensors of random values to test with."""

from torchlike.testing._comparison import assert_allclose, assert_close
from torchlike.testing._creation import make_tensor

__all__ = ["FileCheck", "assert_allclose", "assert_close", "make_tensor"]


class FileCheck:
    """Checks of the text of TorchScript graphs, of which there are none here: NotImplementedError."""

    def __init__(self) -> None:
        raise NotImplementedError(
            "torch.testing.FileCheck checks the text of TorchScript graphs, and torchlike makes none"
        )
