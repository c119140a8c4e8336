"""What `DataLoader` is made of: fetching, collating, worker processes and the memory they share.

Nothing here imports ``multiprocessing`` before the first worker is asked for.
"""

import sys

from torchlike._utils import ExceptionWrapper

IS_WINDOWS = sys.platform == "win32"
HAS_NUMPY = True

#: Seconds between two looks at whether the process at the other end still lives.
MP_STATUS_CHECK_INTERVAL = 5.0

from . import collate, fetch, pin_memory, signal_handling, worker  # noqa: E402  (they read the constants above)

__all__ = [
    "HAS_NUMPY",
    "IS_WINDOWS",
    "MP_STATUS_CHECK_INTERVAL",
    "ExceptionWrapper",
    "collate",
    "fetch",
    "pin_memory",
    "signal_handling",
    "worker",
]
