"""Scenarios: a function of the library that yields what there is to see, and both libraries must show the same."""

import re
import warnings

import torch
from oracle import array_of

import torchlike


def shown(value):
    """Something comparable across the libraries."""
    if isinstance(value, (torch.Tensor, torchlike.Tensor)):
        kind = type(value).__name__
        return kind, str(value.dtype), tuple(value.shape), value.requires_grad, array_of(value).round(4).tolist()
    if isinstance(value, (torch.nn.Module, torchlike.nn.Module)):
        return repr(value)
    if isinstance(value, BaseException):
        return type(value).__name__, re.sub(r"0x[0-9a-f]+", "", str(value).replace("torchlike.", "torch."))
    if isinstance(value, (torch.dtype, torchlike.dtype, torch.device, torchlike.device, torch.Size, torchlike.Size)):
        return str(value)
    if isinstance(value, dict):
        return {key: shown(item) for key, item in value.items()}
    if isinstance(value, (list, tuple, map, filter)) or hasattr(value, "__next__"):
        return [shown(item) for item in value]
    if isinstance(value, type):
        return value.__name__
    return value


def attempt(function, *args, **kwargs):
    """What a call returns or raises, with the texts of its warnings."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        try:
            result = shown(function(*args, **kwargs))
        except Exception as error:
            result = shown(error)
    return result, [str(warning.message) for warning in caught]


def compare(run):
    """AssertionError unless a scenario shows the same in both libraries."""
    transcripts = []
    for library in (torch, torchlike):
        library.manual_seed(0)
        transcripts.append([shown(item) for item in run(library)])
    expected, actual = transcripts
    assert len(expected) == len(actual)
    for i, (wanted, found) in enumerate(zip(expected, actual, strict=True)):
        assert found == wanted, f"step {i} of {run.__name__}"


def net(t):
    nn = t.nn

    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.conv = nn.Conv2d(1, 2, 3)
            self.body = nn.Sequential(nn.BatchNorm2d(2), nn.ReLU(), nn.Flatten())
            self.head = nn.Linear(2 * 4 * 4, 3)
            self.scale = nn.Parameter(t.ones(1))
            self.register_buffer("steps", t.zeros((), dtype=t.int64))
            self.register_buffer("scratch", t.zeros(2), persistent=False)

        def forward(self, x):
            return self.head(self.body(self.conv(x))) * self.scale

    return Net()
