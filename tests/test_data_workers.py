"""Worker processes of ``DataLoader``: what they bring, how they fail, and that nothing is left of them."""

from __future__ import annotations

import collections
import gc
import multiprocessing
import os
import re
import signal
import subprocess
import sys
import time

import numpy as np
import pytest

import torchlike as torch
from torchlike.utils.data import DataLoader, Dataset, IterableDataset, TensorDataset, get_worker_info
from torchlike.utils.data._utils import arena

pytestmark = [
    pytest.mark.skipif(sys.platform == "win32", reason="worker processes are forked"),
    pytest.mark.filterwarnings("ignore:This DataLoader will create:UserWarning"),
]

Point = collections.namedtuple("Point", ["x", "y"])
LARGE = 2 * arena.MIN_BLOCK // 4  # elements of float32


class Function(Dataset):
    """Sample ``i`` is ``function(i)``."""

    def __init__(self, function, n=8):
        self.function = function
        self.n = n

    def __len__(self):
        return self.n

    def __getitem__(self, i):
        return self.function(i)


class Shards(IterableDataset):
    """Worker ``k`` streams ``counts[k]`` numbers that begin with ``100 k``."""

    def __init__(self, *counts):
        self.counts = counts

    def __iter__(self):
        k = get_worker_info().id
        return iter(range(100 * k, 100 * k + self.counts[k]))


def first_of(batch):
    return batch[0]


def load(function, n=8, workers=2, **options):
    return list(DataLoader(Function(function, n), num_workers=workers, **options))


def ended(pids, seconds=10.0):
    """Whether these processes end in time."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if not any(is_running(pid) for pid in pids):
            return True
        time.sleep(0.01)
    return False


def is_running(pid):
    try:
        with open(f"/proc/{pid}/stat") as file:
            return file.read().rpartition(")")[2].split()[0] not in ("Z", "X")
    except OSError:
        return False


@pytest.fixture(autouse=True)
def nothing_left_behind():
    """After each test: no child process, no descriptor, no file of shared memory."""
    gc.collect()
    children, files = set(multiprocessing.active_children()), open_files()
    yield
    gc.collect()  # a caught exception holds the frames, and so the iterators, of its traceback in a cycle
    assert set(multiprocessing.active_children()) <= children
    assert open_files() <= files


def open_files():
    if not os.path.isdir("/proc/self/fd"):
        return collections.Counter()
    names = collections.Counter()
    for fd in os.listdir("/proc/self/fd"):
        try:
            name = os.readlink(f"/proc/self/fd/{fd}")
        except OSError:
            continue
        names[re.sub(r"\d+", "", name)] += any(kind in name for kind in ("socket", "memfd", "eventpoll", "/dev/shm"))
    return names


# What workers bring.


def everything(i):
    return {
        "small": torch.tensor([i, i + 1]),
        "large": torch.full((LARGE,), float(i)),
        "numbers": (i, 0.5 * i, bool(i % 2)),
        "array": np.full(3, i, np.int16),
        "named": Point("s" * i, b"bytes"),
        "text": "x" * (arena.MIN_BLOCK if i == 3 else 1),
        "empty": torch.ones(0, 2),
    }


def described(value):
    if isinstance(value, torch.Tensor):
        return type(value), value.dtype, tuple(value.shape), value.tolist()
    if isinstance(value, dict):
        return {key: described(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return type(value), [described(item) for item in value]
    return value


def test_batches_are_those_of_one_process():
    alone = [described(batch) for batch in load(everything, workers=0, batch_size=3)]
    for options in ({"workers": 1}, {"workers": 3}, {"prefetch_factor": 1}, {"prefetch_factor": 50}):
        assert [described(batch) for batch in load(everything, batch_size=3, **options)] == alone


def test_batches_that_are_kept_are_not_written_over():
    for shape in ((3,), (LARGE,), (3, LARGE)):
        batches = load(lambda i, shape=shape: torch.full(shape, float(i)), n=60, batch_size=2)
        for i, batch in enumerate(batches):
            assert (batch == torch.tensor([2.0 * i, 2.0 * i + 1]).reshape(2, *[1] * len(shape))).all()
        del batch, batches


def test_views_of_batches_keep_their_memory():
    loader = DataLoader(Function(lambda i: torch.full((LARGE,), float(i)), 60), num_workers=1)
    rows = [batch[0, :5] for batch in loader]
    arrays = [batch.numpy()[0, :5] for batch in loader]
    assert [row.tolist() for row in rows] == [[float(i)] * 5 for i in range(60)]
    assert [row.tolist() for row in arrays] == [[float(i)] * 5 for i in range(60)]


def test_batches_can_be_written_to():
    for batch in load(lambda i: torch.full((LARGE,), float(i)), n=4):
        expected = batch.sum() + batch.numel()
        batch += 1
        assert batch.sum() == expected
    for batch in load(lambda i: np.full(LARGE, float(i), np.float32), n=4, batch_size=None, collate_fn=lambda x: x):
        batch += 1


def test_memory_is_used_again():
    iterator = iter(DataLoader(Function(lambda i: torch.full((LARGE,), float(i)), 200), num_workers=1))
    for _batch in iterator:
        (worker,) = iterator._pool.workers
        assert len(worker.reader.maps) <= 6
    del _batch


def test_memory_that_is_free_is_given_back():
    writer = arena.Writer(arena.SharedFile.create())
    reader = arena.Reader(writer.file)
    for round in range(3):
        blocks = [writer.publish(np.full(1 << 20, round, np.uint8)) for _ in range(100)]
        arrays = [reader.open(*block) for block in blocks]
        assert all((array == round).all() for array in arrays)
        del arrays
        writer.take_back(reader.take_finished())
        reader.forget(writer.take_dropped())
        assert writer.free_bytes <= arena.MIN_KEPT
        assert len(reader.maps) <= 64
        assert os.fstat(writer.file.fd).st_blocks * 512 <= arena.MIN_KEPT


def test_what_a_worker_still_shows_is_not_written_over():
    writer = arena.Writer(arena.SharedFile.create())
    shape, dtype = (LARGE,), np.dtype(np.float32)
    shown = writer.empty(shape, dtype)
    shown[:] = 1
    offset, _ = writer.publish(shown)
    writer.take_back([offset])
    for _ in range(3):
        writer.empty(shape, dtype)[:] = 2
        writer.take_back([])
    assert (shown == 1).all()
    del shown
    writer.take_back([])
    assert offset in [writer.publish(writer.empty(shape, dtype))[0] for _ in range(2)]


@pytest.mark.parametrize("n", [3, LARGE])
def test_strides_gradients_and_parameters_survive(n):
    def collate(batch):
        return {
            "permuted": torch.arange(2 * n).reshape(2, n).t(),
            "leaf": torch.ones(n, requires_grad=True),
            "parameter": torch.nn.Parameter(torch.ones(n)),
            "bfloat16": torch.ones(2 * n, dtype=torch.bfloat16),
        }

    (batch,) = load(float, n=1, workers=1, collate_fn=collate)
    assert batch["permuted"].stride() == (1, n)
    assert batch["permuted"].tolist() == [[i, i + n] for i in range(n)]
    assert batch["leaf"].requires_grad
    assert batch["leaf"].is_leaf
    assert type(batch["parameter"]) is torch.nn.Parameter
    assert batch["bfloat16"].dtype == torch.bfloat16
    assert batch["bfloat16"].sum() == 2 * n


def test_the_same_tensor_twice_is_one_tensor():
    (batch,) = load(float, n=1, workers=1, collate_fn=lambda batch: [torch.ones(LARGE)] * 2)
    assert batch[0] is batch[1]


def test_tensor_datasets_are_gathered_in_the_worker():
    x, y = torch.arange(2.0 * LARGE).reshape(8, -1), torch.arange(8)
    batches = list(DataLoader(TensorDataset(x, y), num_workers=2, batch_size=4, sampler=[7, -8, 3, 2, 1]))
    assert torch.equal(torch.cat([x for x, _ in batches]), x[[7, 0, 3, 2, 1]])
    assert [y.tolist() for _, y in batches] == [[7, 0, 3, 2], [1]]


def test_no_batches():
    assert load(lambda i: "ab"[i], n=2, batch_size=None) == ["a", "b"]


def test_workers_keep_off_xla():
    def tier(i):
        from torchlike._engine import config

        return config.tier

    assert load(tier, n=2, workers=1) == [["host"], ["host"]]


def test_datasets_of_computed_tensors():
    x = (torch.arange(1000.0).reshape(100, 10) * 2).exp().log()
    batches = list(DataLoader(Function(lambda i: (x[i] + 1).sum(), 100), batch_size=50, num_workers=2))
    assert torch.allclose(torch.cat(batches), (x + 1).sum(1))


# Workers among themselves.


def test_each_worker_knows_itself():
    def info(i):
        w = get_worker_info()
        return (w.id, w.num_workers, w.seed - w.id, w.dataset[7] if i == 0 else 3, os.getpid())

    def start(worker_id):
        assert get_worker_info().id == worker_id
        get_worker_info().dataset.n = 100 + worker_id

    batches = load(info, n=8, batch_size=None, worker_init_fn=start)
    assert [batch[0] for batch in batches] == [0, 1] * 4
    assert {batch[1] for batch in batches} == {2}
    assert len({batch[2] for batch in batches}) == 1
    assert os.getpid() not in {batch[4] for batch in batches}
    assert len({batch[4] for batch in batches}) == 2


def test_streams_of_different_lengths():
    loader = DataLoader(Shards(5, 0, 2), num_workers=3, batch_size=2)
    expected = [[0, 1], [200, 201], [2, 3], [4]]
    assert sorted(batch.tolist() for batch in loader) == sorted(expected)
    assert sorted(batch.tolist() for batch in loader) == sorted(expected)


@pytest.mark.parametrize("in_order", [True, False])
def test_persistent_workers_stay(in_order):
    loader = DataLoader(
        Function(lambda i: os.getpid()), num_workers=2, persistent_workers=True, in_order=in_order, batch_size=None
    )
    processes = set(loader)
    assert set(loader) == processes
    next(iter(loader))  # an epoch that is left early
    assert len(list(loader)) == 8
    assert set(loader) <= processes
    del loader
    assert ended(processes)


def test_persistent_workers_on_streams():
    loader = DataLoader(Shards(3, 1), num_workers=2, persistent_workers=True, batch_size=None)
    for _ in range(3):
        assert sorted(loader) == [0, 1, 2, 100]


def test_batches_out_of_order_do_not_wait_for_a_slow_one():
    def slow_first(i):
        time.sleep(0.5 if i == 0 else 0)
        return i

    assert load(slow_first, in_order=True, batch_size=None) == list(range(8))
    order = load(slow_first, in_order=False, batch_size=None)
    assert sorted(order) == list(range(8))
    assert order[0] != 0


def test_prefetching_is_bounded():
    with_prefetch = iter(DataLoader(Function(float, 100), num_workers=2, prefetch_factor=3))
    assert with_prefetch._send_idx == 6
    next(with_prefetch)
    assert with_prefetch._send_idx == 7


def test_many_long_tasks_do_not_block():
    long_text = "x" * 1000
    loader = DataLoader(
        Function(lambda i: long_text, 10**6),
        batch_sampler=[list(range(2000))] * 300,
        collate_fn=lambda batch: batch[:20],
        num_workers=1,
        prefetch_factor=300,
    )
    assert len(list(loader)) == 300


@pytest.mark.parametrize("method", ["spawn", "forkserver"])
def test_other_start_methods(method, run_python, tmp_path):
    program = tmp_path / "program.py"
    program.write_text(
        "import torchlike as torch\n"
        "from torchlike.utils.data import DataLoader, TensorDataset\n"
        "if __name__ == '__main__':\n"
        "    x = torch.arange(40000.).reshape(4, -1)\n"
        f"    loader = DataLoader(TensorDataset(x), 2, num_workers=1, multiprocessing_context={method!r})\n"
        "    assert torch.equal(torch.cat([batch for batch, in loader]), x)\n"
        "    print('equal')\n"
    )
    result = run_python("-W", "error", program)
    assert (result.stdout, result.stderr) == ("equal\n", "")


def test_several_loaders_at_once():
    loaders = [DataLoader(Function(lambda i: os.getpid(), 50), num_workers=1, batch_size=None) for _ in range(3)]
    iterators = [iter(loader) for loader in loaders]
    pids = [next(iterator) for iterator in iterators]
    # The first worker was forked before the others, which must not keep its channel open.
    began = time.monotonic()
    del iterators[0]
    assert ended(pids[:1])
    assert time.monotonic() - began < 4
    assert set(iterators[0]) | set(iterators[1]) == set(pids[1:])


# Failures.


class Local(Exception):
    def __init__(self, first, second):
        super().__init__(first, second)


def raising(error):
    def function(i):
        if i == 2:
            raise error
        return i

    return function


def test_an_exception_is_raised_again_with_its_traceback():
    with pytest.raises(ValueError) as caught:
        load(raising(ValueError("wrong sample")))
    text = str(caught.value)
    assert text.startswith(
        "Caught ValueError in DataLoader worker process 0.\nOriginal Traceback (most recent call last):"
    )
    assert text.endswith("ValueError: wrong sample\n")
    assert "raise error" in text


def test_an_exception_does_not_end_the_iteration():
    iterator = iter(DataLoader(Function(raising(ValueError())), num_workers=2, batch_size=None))
    assert [next(iterator), next(iterator)] == [0, 1]
    with pytest.raises(ValueError):
        next(iterator)
    assert list(iterator) == [3, 4, 5, 6, 7]


def test_exceptions_that_cannot_be_made_from_a_message():
    with pytest.raises(RuntimeError, match=r"^Caught Local in DataLoader worker process 0\.\nOriginal Traceback"):
        load(raising(Local(1, 2)))
    with pytest.raises(KeyError) as caught:
        load(raising(KeyError("k")))
    assert "\n" in repr(caught.value)  # a readable message, not its repr

    class Unknown(Exception):
        pass

    with pytest.raises(RuntimeError, match="Unknown: nobody else knows this class"):
        load(raising(Unknown("nobody else knows this class")))


def test_batches_that_cannot_be_pickled_are_an_error():
    with pytest.raises(Exception, match="in DataLoader worker process 0"):
        load(lambda i: lambda: i, n=1, batch_size=None, workers=1)
    with pytest.raises(RuntimeError, match="Cowardly refusing to serialize non-leaf tensor which requires_grad"):
        load(lambda i: torch.ones(1, requires_grad=True) * 2, n=1, batch_size=None, workers=1)


def test_failures_of_the_start():
    def fail(worker_id):
        raise OSError(f"worker {worker_id} cannot start")

    with pytest.raises(OSError, match="worker 0 cannot start"):
        load(float, worker_init_fn=fail)

    class NoStream(IterableDataset):
        def __iter__(self):
            raise ValueError("no stream")

    with pytest.raises(ValueError, match="Caught ValueError in DataLoader worker process 0"):
        list(DataLoader(NoStream(), num_workers=1))


def dying(how):
    def function(i):
        if i == 5:
            how()
        return i

    return function


@pytest.mark.parametrize(
    ("how", "cause"),
    [
        (lambda: os._exit(0), None),
        (lambda: os._exit(7), "exited unexpectedly with exit code 7. Details are lost due to multiprocessing."),
        (lambda: sys.exit(3), "exited unexpectedly with exit code 3."),
        (lambda: os.kill(os.getpid(), signal.SIGKILL), "is killed by signal: Killed. "),
        (lambda: os.kill(os.getpid(), signal.SIGBUS), "It is possible that dataloader's workers are out of shared"),
        (lambda: os.kill(os.getpid(), signal.SIGTERM), "is killed by signal: Terminated. "),
    ],
)
def test_a_worker_that_dies(how, cause):
    received = []
    with pytest.raises(RuntimeError) as caught:
        for x in DataLoader(Function(dying(how)), num_workers=2, batch_size=None):
            received.append(x)
    assert received == [0, 1, 2, 3, 4]
    assert re.fullmatch(r"DataLoader worker \(pid\(s\) \d+\) exited unexpectedly", str(caught.value))
    if cause is None:
        assert caught.value.__cause__ is None
    else:
        assert cause in str(caught.value.__cause__)


def test_a_dead_worker_is_passed_over_afterwards():
    iterator = iter(DataLoader(Function(dying(lambda: os._exit(1))), num_workers=2, batch_size=None))
    received = []
    for _ in range(20):
        try:
            received.append(next(iterator))
        except RuntimeError:
            received.append(None)
        except StopIteration:
            break
    assert received == [0, 1, 2, 3, 4, None, 6]


def test_timeout():
    start = time.monotonic()
    with pytest.raises(RuntimeError, match=r"^DataLoader timed out after 0\.2 seconds$"):
        load(lambda i: time.sleep(1), n=2, timeout=0.2)
    assert time.monotonic() - start < 5


def test_handlers_of_the_program_do_not_keep_workers_alive():
    previous = signal.signal(signal.SIGTERM, lambda *_: None)
    try:
        iterator = iter(DataLoader(Function(lambda i: (os.getpid(), time.sleep(0.05))[0], 50), num_workers=1))
        pid = int(next(iterator))
        os.kill(pid, signal.SIGTERM)
        assert ended([pid])
    finally:
        signal.signal(signal.SIGTERM, previous)


# Nothing is left.


@pytest.mark.parametrize("persistent", [False, True])
def test_dropping_an_iterator_ends_its_workers_at_once(persistent):
    loader = DataLoader(
        Function(lambda i: os.getpid(), 100), num_workers=2, persistent_workers=persistent, prefetch_factor=10
    )
    iterator = iter(loader)
    pids = {int(next(iterator)) for _ in range(4)}
    start = time.monotonic()
    del iterator, loader
    assert ended(pids, 3)
    assert time.monotonic() - start < 3


def test_an_exception_in_the_loop_ends_the_workers():
    pids = set()
    with pytest.raises(ZeroDivisionError):
        for pid in DataLoader(Function(lambda i: os.getpid(), 100), num_workers=2, batch_size=None):
            pids.add(pid)
            if len(pids) == 2:
                raise ZeroDivisionError
    assert ended(pids, 3)


PROGRAM = """
import os, sys, signal, threading, time
from torchlike.utils.data import DataLoader, Dataset
import torchlike as torch

class Numbers(Dataset):
    def __len__(self):
        return 10**6
    def __getitem__(self, i):
        return os.getpid(), torch.ones(20000)

iterator = iter(DataLoader(Numbers(), num_workers=2, batch_size=None))
pids = sorted({next(iterator)[0] for _ in range(6)})
print(*pids, flush=True)
"""

ENDINGS = {
    "runs off its end": "",
    "leaves by exception": "raise SystemExit(3)",
    "exits at once": "os._exit(0)",
    "is killed": "os.kill(os.getpid(), signal.SIGKILL)",
    "is terminated": "os.kill(os.getpid(), signal.SIGTERM)",
    "is interrupted": "threading.Timer(0.1, os.killpg, (0, signal.SIGINT)).start()\nfor _ in iterator: pass",
}


@pytest.mark.parametrize("ending", ENDINGS)
def test_workers_end_with_the_program_however_it_ends(ending, python_environment):
    program = subprocess.Popen(
        [sys.executable, "-W", "error", "-c", PROGRAM + ENDINGS[ending]],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=python_environment,
        start_new_session=True,
    )
    output, errors = program.communicate(timeout=60)
    pids = [int(pid) for pid in output.split()]
    assert len(pids) == 2, errors
    assert ended(pids, 4)
    if ending == "is interrupted":
        assert errors.count("Traceback") == 1
        assert errors.rstrip().endswith("KeyboardInterrupt")
    else:
        assert errors == ""


def test_no_resource_tracker_is_started(run_python):
    program = PROGRAM + (
        "from multiprocessing import resource_tracker\ndel iterator\nprint(resource_tracker._resource_tracker._fd)\n"
    )
    assert run_python("-c", program).stdout.splitlines()[1] == "None"


@pytest.mark.filterwarnings("ignore:.*fork\\(\\)")
def test_a_copy_of_the_iterator_in_a_forked_process_ends_nothing():
    iterator = iter(DataLoader(Function(lambda i: os.getpid(), 20), num_workers=1, batch_size=None))
    worker = next(iterator)
    child = os.fork()
    if child == 0:
        iterator._shutdown_workers()
        os._exit(0)
    os.waitpid(child, 0)
    assert set(iterator) == {worker}


def test_results_that_xla_is_computing_at_the_fork_are_finished_first():
    import jax.numpy as jnp

    from torchlike._tensor.tensor import from_array

    x = jnp.ones((1000, 1000))
    for _ in range(5):
        x = x @ x / 1000
    tensor = from_array(x)
    (batch,) = load(lambda i: tensor[i, 0].item(), n=1, workers=1, batch_size=None, timeout=20)
    assert batch == 1
