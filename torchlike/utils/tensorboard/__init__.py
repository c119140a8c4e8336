"""``torch.utils.tensorboard``: logs for TensorBoard, whose package has to be installed (``pip install tensorboard``)."""

# pyright: reportMissingImports=false

import tensorboard as _tensorboard  # ModuleNotFoundError: TensorBoard is not installed

if not hasattr(_tensorboard, "__version__"):
    raise ImportError("TensorBoard logging requires TensorBoard version 1.15 or above")

from tensorboard.summary.writer.record_writer import RecordWriter

from torchlike.utils.tensorboard.writer import FileWriter, SummaryWriter

__all__ = ["FileWriter", "RecordWriter", "SummaryWriter"]
