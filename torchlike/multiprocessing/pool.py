"""The process pool under the name that torch gives it."""

import multiprocessing.pool

__all__ = ["Pool"]


class Pool(multiprocessing.pool.Pool):
    """The standard pool of processes; tensors in arguments and results are shared."""
