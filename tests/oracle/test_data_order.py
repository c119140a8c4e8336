"""The order of samples, the draws behind it and the workers' seeds, against native torch: equal seed for seed."""

from __future__ import annotations

import math
import random

import numpy as np
import pytest

import torchlike

torch = pytest.importorskip("torch")

# Native workers are forked beside JAX's threads here.
pytestmark = pytest.mark.filterwarnings("ignore:.*fork\\(\\)")

FEATURES = np.arange(46, dtype=np.float32).reshape(23, 2)
LABELS = np.arange(23) % 3


def pairs(t):
    return t.utils.data.TensorDataset(t.from_numpy(FEATURES.copy()), t.from_numpy(LABELS.copy()))


def generator(t, seed=5):
    return t.Generator().manual_seed(seed)


def epochs(t, dataset, count=2, **options):
    """All batches of some epochs of one loader."""
    loader = t.utils.data.DataLoader(dataset, **options)
    return [plain(batch) for _ in range(count) for batch in loader]


def plain(value):
    if hasattr(value, "tolist"):
        return value.tolist()
    if isinstance(value, (list, tuple)):
        return [plain(item) for item in value]
    return value


class Seeds:
    """Samples that show the state of every random number generator of the process that loads them."""

    def __init__(self, t):
        self.t = t

    def __len__(self):
        return 6

    def __getitem__(self, i):
        draws = (random.random(), float(np.random.rand()), self.t.rand(1).item())
        info = self.t.utils.data.get_worker_info()
        return (i, self.t.initial_seed(), *(draws if info else ()), info.seed if info else -1)


def stream(t):
    class Shards(t.utils.data.IterableDataset):
        def __iter__(self):
            info = t.utils.data.get_worker_info()
            first, step = (info.id, info.num_workers) if info else (0, 1)
            return iter(range(first, 23, step))

    return Shards()


def sampled(t, name, *arguments, **options):
    sampler = getattr(t.utils.data, name)(*arguments, **options)
    return [list(sampler), list(sampler), len(sampler)]


def split(t, *arguments, **options):
    return [list(part.indices) for part in t.utils.data.random_split(*arguments, **options)]


def with_generator(t, make):
    """A result that depends on a generator, and what that generator draws next."""
    g = generator(t)
    return make(g), t.rand(3, generator=g).tolist()


def distributed(t, **options):
    sampler = t.utils.data.DistributedSampler(range(23), **options)
    first = list(sampler)
    sampler.set_epoch(3)
    return [first, list(sampler), len(sampler)]


CASES = {
    "in order": lambda t: epochs(t, pairs(t), batch_size=4),
    "shuffled": lambda t: epochs(t, pairs(t), batch_size=4, shuffle=True),
    "shuffled, last dropped": lambda t: epochs(t, pairs(t), batch_size=4, shuffle=True, drop_last=True),
    "no batches": lambda t: epochs(t, pairs(t), batch_size=None, shuffle=True),
    "left early": lambda t: (next(iter(t.utils.data.DataLoader(pairs(t), 4, shuffle=True)))[0].tolist(),),
    "own generator": lambda t: with_generator(
        t, lambda g: epochs(t, pairs(t), batch_size=4, shuffle=True, generator=g)
    ),
    "generator without shuffling": lambda t: with_generator(t, lambda g: epochs(t, pairs(t), generator=g)),
    "stream": lambda t: epochs(t, stream(t), batch_size=4),
    "random": lambda t: sampled(t, "RandomSampler", range(40)),
    "random, more than there are": lambda t: sampled(t, "RandomSampler", range(9), num_samples=25),
    "random, fewer": lambda t: sampled(t, "RandomSampler", range(9), num_samples=4),
    "random, replaced": lambda t: sampled(t, "RandomSampler", range(9), replacement=True, num_samples=70),
    "random, replaced, by 32": lambda t: sampled(t, "RandomSampler", range(9), replacement=True, num_samples=64),
    "random, own generator": lambda t: with_generator(
        t, lambda g: sampled(t, "RandomSampler", range(9), num_samples=18, generator=g)
    ),
    "random, replaced, own generator": lambda t: with_generator(
        t, lambda g: sampled(t, "RandomSampler", range(9), True, 33, generator=g)
    ),
    "subset": lambda t: sampled(t, "SubsetRandomSampler", [3, 1, 4, 15, 9, 26]),
    "weighted": lambda t: sampled(t, "WeightedRandomSampler", [0.1, 0.9, 0.4, 0.7, 3.0, 0.6], 9),
    "weighted, once each": lambda t: sampled(t, "WeightedRandomSampler", [0.9, 0.4, 0.05, 0.2, 0.3, 0.1], 5, False),
    "split by lengths": lambda t: split(t, range(23), [20, 3]),
    "split by fractions": lambda t: split(t, range(23), [0.5, 0.3, 0.2]),
    "split, own generator": lambda t: with_generator(t, lambda g: split(t, range(23), [10, 13], generator=g)),
    "distributed": lambda t: distributed(t, num_replicas=4, rank=2),
    "distributed, seeded": lambda t: distributed(t, num_replicas=4, rank=3, seed=8, drop_last=True),
    "distributed, in order": lambda t: distributed(t, num_replicas=50, rank=40, shuffle=False),
    "two workers": lambda t: epochs(t, pairs(t), batch_size=4, shuffle=True, num_workers=2),
    "two workers, own generator": lambda t: with_generator(
        t, lambda g: epochs(t, pairs(t), batch_size=4, shuffle=True, num_workers=2, generator=g)
    ),
    "persistent workers": lambda t: epochs(
        t, pairs(t), batch_size=4, shuffle=True, num_workers=2, persistent_workers=True
    ),
    "workers on a stream": lambda t: epochs(t, stream(t), batch_size=4, num_workers=2),
    "seeds of workers": lambda t: epochs(t, Seeds(t), batch_size=2, num_workers=2),
    "seeds of one process": lambda t: epochs(t, Seeds(t), batch_size=2),
}


@pytest.mark.parametrize("name", CASES)
def test_same_samples_and_same_draws_afterwards(name):
    results = []
    for t in (torch, torchlike):
        t.manual_seed(2024)
        results.append((plain(CASES[name](t)), t.rand(3).tolist()))
    native, ours = results
    assert ours == native


@pytest.mark.parametrize("seed", [0, 1, 2**32 - 1, 2**32, 9223372036854775000])
@pytest.mark.parametrize("worker_id", [0, 7])
def test_seed_of_numpy_in_a_worker(seed, worker_id):
    state = torch.utils.data._utils.worker._generate_state(seed, worker_id)
    assert torchlike.utils.data._utils.worker._generate_state(seed, worker_id) == state


def test_default_collate_agrees_on_every_kind_of_leaf():
    def batches(t):
        return [
            [t.tensor([1.0, 2.0]), t.tensor([3.0, 4.0])],
            [t.tensor(1), t.tensor(2)],
            [t.ones(2), t.ones(2, dtype=t.float64)],
            [np.arange(3, dtype=np.int16), np.arange(3, dtype=np.int16)],
            [np.float32(1), np.float32(2)],
            [np.float64(1), np.float32(2)],
            [np.bool_(True), np.bool_(False)],
            [1.5, 2],
            [1, 2],
            [True, False],
            [True, 2],
            ["a", "b"],
            [(1, "a", 2.0), (2, "b", 3.0)],
            [[1, 2], [3, 4]],
            [{"a": 1, "b": [t.ones(1)]}, {"a": 2, "b": [t.zeros(1)]}],
        ]

    for native, ours in zip(batches(torch), batches(torchlike)):
        expected = torch.utils.data.default_collate(native)
        assert described(torchlike.utils.data.default_collate(ours)) == described(expected)


def described(value):
    """A batch with the dtypes and values of its tensors, for comparison across libraries."""
    if hasattr(value, "dtype"):
        return str(value.dtype), value.tolist()
    if isinstance(value, dict):
        return {key: described(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return type(value), [described(item) for item in value]
    return value


INVALID = {
    "sizes differ": lambda t: t.utils.data.default_collate([t.ones(2), t.ones(3)]),
    "lengths differ": lambda t: t.utils.data.default_collate([[1, 2], [1]]),
    "no leaf": lambda t: t.utils.data.default_collate([None]),
    "strings in an array": lambda t: t.utils.data.default_collate([np.array(["a"])]),
    "a string among floats": lambda t: t.utils.data.default_collate([1.0, "a"]),
    "workers below zero": lambda t: t.utils.data.DataLoader([1], num_workers=-1),
    "timeout below zero": lambda t: t.utils.data.DataLoader([1], timeout=-1),
    "prefetching alone": lambda t: t.utils.data.DataLoader([1], prefetch_factor=2),
    "prefetching below zero": lambda t: t.utils.data.DataLoader([1], num_workers=1, prefetch_factor=-2),
    "persistence alone": lambda t: t.utils.data.DataLoader([1], persistent_workers=True),
    "stream, shuffled": lambda t: t.utils.data.DataLoader(stream(t), shuffle=True),
    "stream, sampler": lambda t: t.utils.data.DataLoader(stream(t), sampler=[1]),
    "stream, batch sampler": lambda t: t.utils.data.DataLoader(stream(t), batch_sampler=[[1]]),
    "sampler and shuffle": lambda t: t.utils.data.DataLoader([1], sampler=[0], shuffle=True),
    "batch sampler and size": lambda t: t.utils.data.DataLoader([1], 2, batch_sampler=[[0]]),
    "no batches, last dropped": lambda t: t.utils.data.DataLoader([1], None, drop_last=True),
    "batch size 0": lambda t: t.utils.data.DataLoader([1], 0),
    "batch size 1.5": lambda t: t.utils.data.DataLoader([1], 1.5),
    "drop_last of 1": lambda t: t.utils.data.DataLoader([1], 2, drop_last=1),
    "empty, shuffled": lambda t: t.utils.data.DataLoader([], shuffle=True),
    "context without workers": lambda t: t.utils.data.DataLoader([1], multiprocessing_context="fork"),
    "unknown context": lambda t: t.utils.data.DataLoader([1], num_workers=1, multiprocessing_context="thread"),
    "no context": lambda t: t.utils.data.DataLoader([1], num_workers=1, multiprocessing_context=3),
    "set after the fact": lambda t: setattr(t.utils.data.DataLoader([1]), "batch_size", 3),
    "timeout in one process": lambda t: iter(t.utils.data.DataLoader([1], timeout=1)),
    "dataset without items": lambda t: t.utils.data.Dataset()[0],
    "sizes of tensors": lambda t: t.utils.data.TensorDataset(t.ones(2), t.ones(3)),
    "nothing to concatenate": lambda t: t.utils.data.ConcatDataset([]),
    "stream in a concatenation": lambda t: t.utils.data.ConcatDataset([stream(t)]),
    "index before the first": lambda t: t.utils.data.ConcatDataset([range(3)])[-4],
    "no stream in a chain": lambda t: list(t.utils.data.ChainDataset([range(3)])),
    "nothing to stack": lambda t: t.utils.data.StackDataset(),
    "stack of both kinds": lambda t: t.utils.data.StackDataset([1], a=[1]),
    "stack of lengths": lambda t: t.utils.data.StackDataset([1], [1, 2]),
    "split too long": lambda t: t.utils.data.random_split(range(3), [2, 2]),
    "split of a negative part": lambda t: t.utils.data.random_split(range(3), [-0.5, 1.5]),
    "samples below one": lambda t: t.utils.data.RandomSampler([1], num_samples=0),
    "replacement of 1": lambda t: t.utils.data.RandomSampler([1], replacement=1),
    "weights of two dimensions": lambda t: t.utils.data.WeightedRandomSampler([[1.0]], 1),
    "weighted, True samples": lambda t: t.utils.data.WeightedRandomSampler([1.0], True),
    "weighted, replacement of 1": lambda t: t.utils.data.WeightedRandomSampler([1.0], 1, 1),
    "rank out of range": lambda t: t.utils.data.DistributedSampler([1], num_replicas=2, rank=2),
}


@pytest.mark.parametrize("name", INVALID)
def test_errors_are_natives(name):
    errors = []
    for t in (torch, torchlike):
        with pytest.raises(Exception) as caught:
            INVALID[name](t)
        errors.append((caught.type, str(caught.value).replace("torchlike", "torch")))
    assert errors[1] == errors[0]


def test_split_by_fractions_warns_of_empty_parts_as_native_does():
    messages = []
    for t in (torch, torchlike):
        with pytest.warns(UserWarning) as caught:
            t.utils.data.random_split(range(1), [0.5, 0.5])
        messages.append([str(w.message) for w in caught])
    assert messages[0] == messages[1]


def test_lengths_of_loaders():
    for size in (0, 1, 7, 8, 9):
        for drop_last in (False, True):
            lengths = {len(t.utils.data.DataLoader(range(size), 4, drop_last=drop_last)) for t in (torch, torchlike)}
            assert lengths == {size // 4 if drop_last else math.ceil(size / 4)}
