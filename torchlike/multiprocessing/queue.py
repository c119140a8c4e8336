"""Queues under the names that torch gives them; the standard ones know how to carry tensors already."""

import multiprocessing.queues

__all__ = ["Queue", "SimpleQueue"]


class Queue(multiprocessing.queues.Queue):
    """The standard queue; tensors in it are shared.

    Args:
        maxsize: most items in it, 0 for no limit.
        ctx: the multiprocessing context it belongs to.
    """


class SimpleQueue(multiprocessing.queues.SimpleQueue):
    """The standard simple queue; tensors in it are shared.

    Args:
        ctx: the multiprocessing context it belongs to.
    """
