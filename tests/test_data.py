"""``torch.utils.data`` in one process: datasets, samplers, collating, and what a loader takes and gives."""

from __future__ import annotations

import collections
import copy
import pickle
import warnings

import numpy as np
import pytest

import torchlike as torch
from torchlike.utils.data import (
    BatchSampler,
    ChainDataset,
    ConcatDataset,
    DataLoader,
    Dataset,
    IterableDataset,
    RandomSampler,
    Sampler,
    SequentialSampler,
    StackDataset,
    Subset,
    SubsetRandomSampler,
    TensorDataset,
    default_collate,
    default_convert,
    random_split,
)
from torchlike.utils.data._utils.collate import collate, default_collate_fn_map
from torchlike.utils.data._utils.containers import like_mapping, like_sequence
from torchlike.utils.data._utils.pin_memory import pin_memory

Point = collections.namedtuple("Point", ["x", "y"])


class Count(IterableDataset):
    def __init__(self, n, length=None):
        self.n = n
        self.length = n if length is None else length

    def __iter__(self):
        return iter(range(self.n))

    def __len__(self):
        return self.length


class InBatches(Dataset):
    """A dataset that loads several samples in one call, and counts the calls."""

    def __init__(self, n):
        self.n = n
        self.calls = 0

    def __len__(self):
        return self.n

    def __getitem__(self, i):
        raise AssertionError("samples must be asked for together")

    def __getitems__(self, indices):
        self.calls += 1
        return [10 * i for i in indices]


def lists(loader):
    return [batch.tolist() for batch in loader]


# Datasets.


def test_concatenation_finds_the_dataset_and_the_sample():
    both = Subset(range(3), [2, 1]) + Subset("abc", [0, 1, 2])
    assert isinstance(both, ConcatDataset)
    assert [both[i] for i in range(len(both))] == [2, 1, "a", "b", "c"]
    assert (both[-1], both[-5]) == ("c", 2)
    assert both.cumulative_sizes == [2, 5]
    with pytest.warns(FutureWarning, match="renamed to `cumulative_sizes`"):
        assert both.cummulative_sizes == [2, 5]


def test_chain_of_streams():
    chain = Count(2) + Count(3)
    assert isinstance(chain, ChainDataset)
    assert (list(chain), len(chain)) == ([0, 1, 0, 1, 2], 5)


def test_stack_asks_for_samples_together_where_it_can():
    inner = InBatches(4)
    stack = StackDataset(Subset("abcd", range(4)), inner)
    assert stack.__getitems__([3, 0]) == [("d", 30), ("a", 0)]
    assert StackDataset(a=inner, b="wxyz").__getitems__([1, 2]) == [{"a": 10, "b": "x"}, {"a": 20, "b": "y"}]
    assert inner.calls == 2
    inner.__class__ = type("Short", (InBatches,), {"__getitems__": lambda self, indices: [0]})
    with pytest.raises(ValueError, match=r"^Nested dataset's output size mismatch\. Expected 2, got 1$"):
        stack.__getitems__([0, 1])


def test_subset_of_a_dataset_that_loads_in_batches():
    inner = InBatches(10)
    loader = DataLoader(Subset(Subset(inner, [5, 6, 7, 8]), [3, 0, 1]), batch_size=2)
    assert lists(loader) == [[80, 50], [60]]
    assert inner.calls == 2


def test_subset_takes_lists_of_indices():
    data = torch.arange(10)
    assert Subset(data, [7, 8, 9])[[2, 0]].tolist() == [9, 7]


def test_subset_that_overrides_one_method_only_is_refused():
    class Half(Subset):
        def __getitem__(self, idx):
            return None

    with pytest.raises(NotImplementedError, match="Half overrides __getitem__ but not __getitems__"):
        Half(range(3), [0])


def test_split_gives_disjoint_parts_of_everything():
    parts = random_split(range(10), [0.5, 0.5])
    assert sorted(parts[0].indices + parts[1].indices) == list(range(10))
    assert all(type(part) is Subset for part in parts)


# Samplers.


def test_random_order_follows_the_length_of_its_source():
    source = [0, 1]
    sampler = RandomSampler(source)
    source.append(2)
    assert len(sampler) == 3
    assert sorted(sampler) == [0, 1, 2]


def test_batches_of_any_iterable():
    assert list(BatchSampler("abcde", 2, True)) == [["a", "b"], ["c", "d"]]
    assert len(BatchSampler(SequentialSampler("abcde"), 2, True)) == 2


def test_a_sampler_without_length_is_fine_until_the_length_is_asked_for():
    class Endless(Sampler):
        def __iter__(self):
            yield from (2, 0)

    loader = DataLoader("abc", sampler=Endless())
    assert list(loader) == [["c"], ["a"]]
    with pytest.raises(TypeError):
        len(loader)


def test_subset_sampler_gives_its_indices():
    assert sorted(SubsetRandomSampler([5, 9])) == [5, 9]


# Collating.


def test_batches_have_memory_of_their_own():
    a = torch.zeros(3)
    batch = default_collate([a, a])
    batch += 1
    assert a.tolist() == [0, 0, 0]
    array = np.zeros(3)
    default_collate([array])[0] += 1
    assert array.tolist() == [0, 0, 0]


def test_collating_keeps_the_graph_of_tensors_that_require_gradients():
    w = torch.tensor([2.0], requires_grad=True)
    batch = default_collate([w * 3, w * 4])
    batch.sum().backward()
    assert w.grad.tolist() == [7.0]


def test_collating_permuted_tensors():
    a = torch.arange(6.0).reshape(2, 3)
    batch = default_collate([a.t(), a.t() + 1])
    assert batch.is_contiguous()
    assert batch.tolist() == [a.t().tolist(), (a.t() + 1).tolist()]


PARTS = {
    "rows": lambda x: [x[i] for i in (5, 0, 3)],
    "elements": lambda x: [x[i, 1] for i in (5, 0, 3)],
    "pairs of rows": lambda x: [x[i : i + 2] for i in (0, 2, 4)],
    "windows that overlap": lambda x: [x[i : i + 3] for i in (0, 1, 2)],
    "windows of elements": lambda x: [x.reshape(-1)[i : i + 5] for i in (1, 12, 19)],
    "columns": lambda x: [x[:, i] for i in (2, 0)],
    "columns of a transpose": lambda x: [x.t()[:, i] for i in (2, 0)],
    "transposed parts": lambda x: [x[i : i + 4].t() for i in (0, 2)],
    "rows backwards": lambda x: [x.flip(0)[i] for i in (2, 0)],
    "expanded": lambda x: [x[i].expand(2, 4) for i in (2, 0)],
    "other bits": lambda x: [x[i].view(torch.int32) for i in (2, 0)],
    "parts of nothing": lambda x: [x[i, :0] for i in (2, 0)],
    "a row and itself": lambda x: [x, x],
}


@pytest.mark.parametrize("name", PARTS)
@pytest.mark.parametrize("shared", [False, True])
def test_collating_parts_of_one_tensor(name, shared):
    x = torch.from_numpy(np.arange(24, dtype=np.float32).reshape(6, 4)) if shared else torch.arange(24.0).reshape(6, 4)
    parts = PARTS[name](x)
    batch = default_collate(parts)
    assert batch.tolist() == [part.tolist() for part in parts]
    assert batch.dtype is parts[0].dtype
    assert batch.is_contiguous()


def test_collating_keeps_containers():
    ordered = collections.OrderedDict(b=1, a=Point(1.0, "s"))
    batch = default_collate([ordered, copy.deepcopy(ordered)])
    assert type(batch) is collections.OrderedDict
    assert list(batch) == ["b", "a"]
    assert type(batch["a"]) is Point
    assert batch["a"].y == ("s", "s")
    deque = default_collate([collections.deque([1, 2]), collections.deque([3, 4])])
    assert type(deque) is collections.deque
    assert [item.tolist() for item in deque] == [[1, 3], [2, 4]]


def test_containers_that_cannot_be_rebuilt_become_plain_ones():
    class Fussy(dict):
        def __copy__(self):
            raise TypeError

    assert type(like_mapping(Fussy(), {"a": 1})) is dict
    assert like_sequence(range(2), [5, 6]) == [5, 6]


def test_table_of_collate_functions():
    def joined(batch, *, collate_fn_map=None):
        return "+".join(batch)

    assert collate([("a", 1), ("b", 2)], collate_fn_map={str: joined, int: max_of}) == ["a+b", 2]
    assert collate([True, False], collate_fn_map={(int, float): max_of}) is True
    with pytest.raises(TypeError, match="default_collate: batch must contain tensors, numpy arrays, numbers, dicts"):
        collate([1.5], collate_fn_map={str: joined})


def max_of(batch, *, collate_fn_map=None):
    return max(batch)


def test_default_table_can_be_extended(monkeypatch):
    monkeypatch.setitem(default_collate_fn_map, set, lambda batch, *, collate_fn_map=None: set.union(*batch))
    assert default_collate([{1}, {2}]) == {1, 2}
    monkeypatch.setitem(default_collate_fn_map, torch.Tensor, lambda batch, *, collate_fn_map=None: len(batch))
    assert default_collate([np.ones(2), np.ones(2)]) == 2
    assert list(DataLoader(TensorDataset(torch.ones(3, 2)), batch_size=2)) == [[2], [1]]


def test_converting_arrays_only():
    sample = {"a": np.array([0, 1]), "b": (np.float32(2), "c"), "d": Point(np.ones(1), None), "e": [np.array(["s"])]}
    converted = default_convert(sample)
    assert converted["a"].tolist() == [0, 1]
    assert type(converted["b"]) is list
    assert converted["b"][0].dtype == torch.float32
    assert type(converted["d"]) is Point
    assert isinstance(converted["d"].x, torch.Tensor)
    assert converted["e"] == [np.array(["s"])]
    assert default_convert("text") == "text"
    assert default_convert(7) == 7


# Loaders.


def test_batches_of_a_tensor_dataset_are_those_of_its_samples():
    class SampleBySample(TensorDataset):
        pass

    tensors = torch.arange(20.0).reshape(10, 2), torch.arange(10), torch.ones(10, 0)
    for options in ({}, {"drop_last": True}, {"sampler": [-1, 3, 3, -10]}, {"sampler": list(np.arange(4)[::-1])}):
        fast = list(DataLoader(TensorDataset(*tensors), batch_size=3, **options))
        slow = list(DataLoader(SampleBySample(*tensors), batch_size=3, **options))
        assert len(fast) == len(slow) > 0
        for one, other in zip(fast, slow):
            assert type(one) is type(other) is list
            assert [t.dtype for t in one] == [t.dtype for t in other]
            assert all(torch.equal(a, b) for a, b in zip(one, other))


def test_batches_of_subsets_of_tensor_datasets():
    data = TensorDataset(torch.arange(10))
    loader = DataLoader(Subset(Subset(data, [9, 8, 7, 6]), np.array([3, 1, -4])), batch_size=2)
    assert [batch.tolist() for (batch,) in loader] == [[6, 8], [9]]


def test_rows_are_gathered_at_the_time_of_the_batch():
    tensor = torch.zeros(4)
    batches = iter(DataLoader(TensorDataset(tensor), batch_size=2))
    first = next(batches)[0]
    tensor += 1
    first += 5
    assert (first.tolist(), next(batches)[0].tolist(), tensor.tolist()) == ([5, 5], [1, 1], [1, 1, 1, 1])


def test_gradients_flow_through_batches_of_a_tensor_dataset():
    w = torch.ones(4, requires_grad=True)
    for (batch,) in DataLoader(TensorDataset(w), batch_size=3):
        (batch * 2).sum().backward()
    assert w.grad.tolist() == [2, 2, 2, 2]


def test_indices_out_of_range_raise_what_indexing_raises():
    loader = DataLoader(TensorDataset(torch.arange(3)), sampler=[0, 3], batch_size=2)
    with pytest.raises(IndexError, match="index 3 is out of bounds for dimension 0 with size 3"):
        list(loader)


def test_without_batches_samples_are_converted():
    assert list(DataLoader(["a", "b"], batch_size=None)) == ["a", "b"]
    (sample,) = DataLoader([np.arange(2)], batch_size=None)
    assert isinstance(sample, torch.Tensor)
    assert list(DataLoader([1, 2, 3], batch_size=None, collate_fn=lambda x: -x)) == [-1, -2, -3]


def test_batch_sampler_and_its_attributes():
    loader = DataLoader("abc", batch_sampler=[[2], [1, 0]], collate_fn="".join)
    assert list(loader) == ["c", "ba"]
    assert (loader.batch_size, loader.drop_last, len(loader)) == (None, False, 2)


def test_streams_end_with_a_smaller_batch_or_without():
    assert lists(DataLoader(Count(5), batch_size=2)) == [[0, 1], [2, 3], [4]]
    assert lists(DataLoader(Count(5), batch_size=2, drop_last=True)) == [[0, 1], [2, 3]]
    assert list(DataLoader(Count(3), batch_size=None)) == [0, 1, 2]


def test_length_of_a_stream_and_the_warning_when_it_was_wrong():
    assert len(DataLoader(Count(5), batch_size=2)) == 3
    assert len(DataLoader(Count(5), batch_size=2, drop_last=True)) == 2
    loader = DataLoader(Count(2, length=1), batch_size=1)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        list(loader)
    assert len(loader) == 1
    with pytest.warns(UserWarning, match=r"was reported to be 1\(when accessing len\(dataloader\)\), but 2 samples"):
        list(loader)


def test_each_iteration_is_independent():
    loader = DataLoader(range(4), batch_size=2)
    first, second = iter(loader), iter(loader)
    assert next(first).tolist() == next(second).tolist() == [0, 1]
    assert next(first).tolist() == [2, 3]
    assert len(first) == 2
    assert iter(first) is first


def test_attributes_are_fixed_after_the_start():
    loader = DataLoader(range(4))
    for name in ("batch_size", "batch_sampler", "sampler", "drop_last", "dataset", "persistent_workers"):
        with pytest.raises(ValueError, match=f"^{name} attribute should not be set after DataLoader is initialized$"):
            setattr(loader, name, None)
    loader.collate_fn = sum
    loader.anything = 3
    assert list(loader) == [0, 1, 2, 3]


def test_defaults_of_attributes():
    loader = DataLoader(range(4))
    assert type(loader.sampler) is SequentialSampler
    assert type(loader.batch_sampler) is BatchSampler
    assert loader.collate_fn is default_collate
    assert (loader.prefetch_factor, loader.timeout, loader.generator, loader.num_workers) == (None, 0, None, 0)
    assert (loader.pin_memory, loader.pin_memory_device, loader.in_order) == (False, "", True)
    assert loader.multiprocessing_context is None
    assert DataLoader(range(4), num_workers=1).prefetch_factor == 2
    assert DataLoader[int] is not None


def test_iterators_cannot_be_pickled():
    with pytest.raises(NotImplementedError):
        pickle.dumps(iter(DataLoader(range(4))))


def test_pinning_reaches_every_part_of_a_batch():
    class Pinnable:
        def pin_memory(self):
            return "pinned"

    p = Pinnable()
    assert pin_memory({"a": [p, "s"], "b": (p, b"x"), "c": Point(p, 1)}) == {
        "a": ["pinned", "s"],
        "b": ("pinned", b"x"),
        "c": Point("pinned", 1),
    }
    assert torch.equal(pin_memory(torch.ones(2)), torch.ones(2))


def test_pinning_without_an_accelerator_only_warns():
    if torch.accelerator.is_available():
        pytest.skip("there is an accelerator")
    with pytest.warns(UserWarning, match="'pin_memory' argument is set as true but no accelerator is found"):
        assert lists(DataLoader(range(2), pin_memory=True)) == [[0], [1]]


def test_more_workers_than_processors_warn():
    with pytest.warns(UserWarning, match=r"^This DataLoader will create 1000 worker processes in total\. Our"):
        DataLoader(range(2), num_workers=1000)


def test_names_are_torchs():
    import torchlike.utils.data.dataloader as dataloader
    import torchlike.utils.data.distributed as distributed

    assert dataloader.DataLoader is DataLoader
    assert dataloader.default_collate is default_collate
    assert distributed.DistributedSampler is torch.utils.data.DistributedSampler
    assert torch.utils.data.get_worker_info() is None
    assert torch.utils.data._utils.collate.default_collate_fn_map is default_collate_fn_map


def test_workers_are_imported_when_first_needed(run_python):
    program = (
        "import sys, torchlike.utils.data as data; list(data.DataLoader([1]));"
        "print([name for name in ('codec', 'pool', 'channel') if 'torchlike.utils.data._utils.' + name in sys.modules])"
    )
    assert run_python("-c", program).stdout.strip() == "[]"
