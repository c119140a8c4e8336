"""``torch.multiprocessing``: processes started together, and tensors that they share."""

from __future__ import annotations

import multiprocessing.pool
import multiprocessing.queues
import os
import pickle
import signal
import sys
import time

import numpy as np
import pytest

import torchlike as torch
import torchlike.multiprocessing as mp
from torchlike._tensor import shared
from torchlike.multiprocessing import pool, queue
from torchlike.multiprocessing.spawn import ProcessException

pytestmark = [
    pytest.mark.skipif(sys.platform != "linux", reason="the processes of these tests are forked"),
    pytest.mark.filterwarnings("ignore:.*fork\\(\\)"),
]


def start(function, *arguments, **options):
    return mp.start_processes(function, arguments, start_method="fork", **options)


def run(function, *arguments):
    """Run a function in a forked process."""
    process = mp.get_context("fork").Process(target=function, args=arguments)
    process.start()
    process.join(30)
    assert process.exitcode == 0


def test_it_is_pythons_module_and_more():
    for name in multiprocessing.__all__:
        assert getattr(mp, name) == getattr(multiprocessing, name)
    assert set(multiprocessing.__all__) < set(mp.__all__)
    assert issubclass(pool.Pool, multiprocessing.pool.Pool)
    assert issubclass(queue.SimpleQueue, multiprocessing.queues.SimpleQueue)


def test_sharing_strategies():
    assert mp.get_all_sharing_strategies() == {"file_descriptor", "file_system"}
    assert mp.get_sharing_strategy() == "file_descriptor"
    try:
        mp.set_sharing_strategy("file_system")
        assert mp.get_sharing_strategy() == "file_system"
    finally:
        mp.set_sharing_strategy("file_descriptor")
    with pytest.raises(AssertionError, match=r"^invalid sharing strategy 'pigeon', expected one of"):
        mp.set_sharing_strategy("pigeon")


# Processes.


def add_one(i, counter, step):
    with counter.get_lock():
        counter.value += step * (i + 1)


def test_processes_get_their_number_and_the_arguments():
    counter = mp.get_context("fork").Value("i", 0)
    assert start(add_one, counter, 10, nprocs=3) is None
    assert counter.value == 60
    context = start(add_one, counter, 1, nprocs=2, join=False)
    assert len(context.pids()) == 2
    while not context.join(timeout=10):
        pass
    assert context.join()
    assert counter.value == 63


def fail_first(i):
    if i == 0:
        raise ValueError("no good")
    time.sleep(30)


def test_the_first_exception_ends_all():
    began = time.monotonic()
    with pytest.raises(mp.ProcessRaisedException) as caught:
        start(fail_first, nprocs=2)
    text = str(caught.value)
    assert text.startswith(
        "\n\n-- Process 0 terminated with the following error:\nTraceback (most recent call last):\n"
    )
    assert text.endswith("ValueError: no good\n")
    assert (caught.value.error_index, caught.value.msg) == (0, text)
    assert time.monotonic() - began < 20


@pytest.mark.parametrize(
    ("ending", "message", "code", "name"),
    [
        (lambda i: os._exit(5), "process 0 terminated with exit code 5", 5, None),
        (
            lambda i: os.kill(os.getpid(), signal.SIGKILL),
            "process 0 terminated with signal SIGKILL",
            -signal.SIGKILL,
            "SIGKILL",
        ),
    ],
)
def test_processes_that_exit(ending, message, code, name):
    with pytest.raises(mp.ProcessExitedException) as caught:
        start(ending)
    error = pickle.loads(pickle.dumps(caught.value))
    assert isinstance(error, ProcessException)
    assert (str(error), error.exit_code, error.signal_name, error.error_index) == (message, code, name, 0)
    assert error.error_pid == caught.value.error_pid


def test_spawned_processes_import_what_they_need(run_python, tmp_path):
    program = tmp_path / "program.py"
    program.write_text(
        "import torchlike as torch\n"
        "import torchlike.multiprocessing as mp\n"
        "def fill(i, tensor):\n"
        "    tensor[i] = i + 1\n"
        "def fail(i):\n"
        "    raise KeyError(i)\n"
        "if __name__ == '__main__':\n"
        "    tensor = torch.zeros(1)\n"
        "    mp.spawn(fill, (tensor,))\n"
        "    print(tensor.tolist())\n"
        "    try:\n"
        "        mp.spawn(fail)\n"
        "    except mp.ProcessRaisedException as error:\n"
        "        print(str(error).splitlines()[-1])\n"
    )
    result = run_python(program)
    assert (result.stdout, result.stderr) == ("[1.0]\nKeyError: 0\n", "")


def test_other_start_methods_of_spawn_warn(monkeypatch):
    started = []
    module = sys.modules[mp.spawn.__module__]  # the function has the module's name
    monkeypatch.setattr(module, "start_processes", lambda *a, **k: started.append(k))
    with pytest.warns(FutureWarning, match=r"^This method only supports start_method=spawn \(got: fork\)"):
        mp.spawn(add_one, start_method="fork")
    assert started == [{"start_method": "spawn"}]


# Tensors.


def double(tensor):
    tensor *= 2


def test_tensors_given_to_a_process_are_shared_when_they_were_before():
    tensor = torch.ones(3)
    shared.share(tensor._storage)
    run(double, tensor)
    assert tensor.tolist() == [2, 2, 2]


def answer(questions, answers):
    for tensor in iter(questions.get, None):
        tensor += 1
        answers.put((tensor, tensor.sum().item()))


@pytest.fixture
def conversation():
    """Queues to and from a process that adds one to what it gets."""
    context = mp.get_context("fork")
    questions, answers = context.Queue(), context.Queue()
    process = context.Process(target=answer, args=(questions, answers))
    process.start()

    def ask(tensor):
        questions.put(tensor)
        return answers.get(timeout=30)

    yield ask
    questions.put(None)
    process.join(30)
    for channel in (questions, answers):
        channel.close()
        channel.join_thread()
    assert process.exitcode == 0


def test_tensors_in_queues_share_memory(conversation):
    tensor = torch.arange(4.0)
    returned, total = conversation(tensor)
    assert tensor.tolist() == [1, 2, 3, 4]
    assert total == 10
    returned += 10
    assert tensor.tolist() == [11, 12, 13, 14]


def test_views_keep_their_geometry(conversation):
    whole = torch.zeros(3, 4)
    view = whole.t()[1:3, ::2]
    returned, _ = conversation(view)
    assert returned.stride() == view.stride()
    assert returned.storage_offset() == view.storage_offset()
    assert whole.sum() == 4
    assert view.tolist() == [[1, 1], [1, 1]]


@pytest.mark.parametrize("tensor", [torch.ones(0, 3), torch.tensor(5), torch.ones(2, dtype=torch.bfloat16)])
def test_all_kinds_of_tensors(conversation, tensor):
    returned, _ = conversation(tensor)
    assert returned.dtype is tensor.dtype
    assert returned.shape == tensor.shape
    assert torch.equal(returned, tensor)


def test_leaves_and_parameters_arrive_as_such():
    context = mp.get_context("fork")
    receiver, sender = context.Pipe(duplex=False)
    parameter = torch.nn.Parameter(torch.ones(2))
    sender.send((parameter, torch.ones(2, requires_grad=True), parameter))
    first, leaf, again = receiver.recv()
    assert type(first) is torch.nn.Parameter
    assert first is again
    assert leaf.requires_grad
    assert leaf.is_leaf
    with pytest.raises(RuntimeError, match="Cowardly refusing to serialize non-leaf tensor which requires_grad"):
        sender.send(leaf * 2)
    for end in (receiver, sender):
        end.close()


def test_shared_storages_are_recognised():
    tensor = torch.arange(6)
    assert not shared.is_shared(tensor._storage)
    file = shared.share(tensor._storage)
    assert shared.share(tensor._storage) is file
    assert shared.is_shared(tensor[2:]._storage)
    assert shared.opened(file, (6,), np.dtype(np.int64)) is tensor._storage
    tensor[2:] += 1
    assert tensor.tolist() == [0, 1, 3, 4, 5, 6]


def test_results_of_pools():
    with mp.get_context("fork").Pool(1) as pool:
        result = pool.apply(torch.full, ((3,), 2.0))
        pool.close()
        pool.join()
    assert result.tolist() == [2, 2, 2]


def train(parameter):
    for _ in range(5):
        with torch.no_grad():
            parameter -= 0.5


def test_parameters_in_shared_memory_are_trained_by_other_processes():
    parameter = torch.nn.Parameter(torch.full((2,), 9.0))
    shared.share(parameter._storage)
    start(lambda i: train(parameter))
    run(train, parameter)
    assert parameter.tolist() == [4, 4]
    assert parameter.sum().item() == 8


def test_moving_a_tensor_to_shared_memory():
    tensor = torch.ones(2)
    assert not tensor.is_shared()
    assert tensor.share_memory_() is tensor
    assert tensor.is_shared()
    assert tensor[1:].is_shared()
    run(double, tensor)
    assert tensor.tolist() == [2, 2]
    module = torch.nn.Linear(2, 2)
    assert module.share_memory() is module
    assert all(parameter.is_shared() for parameter in module.parameters())
