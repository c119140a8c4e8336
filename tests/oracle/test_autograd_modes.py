"""Grad modes and the names in `torch.autograd` agree with native PyTorch."""

import pytest

pytest.importorskip("torch")

from transcript import Scenarios, compare

scenario = Scenarios()


def xyz(torch, *values):
    return torch.tensor(values or (1.0, 2.0, 3.0), requires_grad=True)


@scenario
def grad_modes(torch, say):
    x = xyz(torch)
    say(torch.is_grad_enabled())
    with torch.no_grad():
        say(torch.is_grad_enabled(), (x * 2).requires_grad, torch.ones(1, requires_grad=True).requires_grad)
        with torch.enable_grad():
            say((x * 2).requires_grad)
        with torch.set_grad_enabled(True):
            say((x * 2).requires_grad)
        say((x * 2).requires_grad)
    switch = torch.set_grad_enabled(False)
    say(torch.is_grad_enabled(), switch)
    torch.set_grad_enabled(True)
    say(torch.is_grad_enabled())
    try:
        with torch.no_grad():
            raise ValueError
    except ValueError:
        say(torch.is_grad_enabled())
    say.attempt(lambda: torch.set_grad_enabled(1))
    say(torch.is_grad_enabled())


@scenario
def grad_modes_as_decorators(torch, say):
    x = xyz(torch)

    @torch.no_grad()
    def with_parentheses(t):
        """Doubles."""
        return (t * 2).requires_grad

    @torch.no_grad
    def without(t):
        return (t * 2).requires_grad

    @torch.set_grad_enabled(False)
    def switched(t):
        return (t * 2).requires_grad

    @torch.inference_mode()
    def inferred(t):
        return (t * 2).requires_grad, torch.is_inference_mode_enabled()

    @torch.inference_mode(False)
    def not_inferred(t):
        return (t * 2).requires_grad

    say(with_parentheses(x), with_parentheses.__name__, with_parentheses.__doc__, without(x), switched(x), inferred(x))
    say(not_inferred(x), torch.is_grad_enabled())
    with torch.no_grad():
        say(torch.enable_grad()(lambda t: (t * 2).requires_grad)(x), torch.is_grad_enabled())

    @torch.no_grad()
    class Decorated:
        def __init__(self):
            self.seen = torch.is_grad_enabled()

    say(Decorated().seen)


@scenario
def grad_modes_around_generators(torch, say):
    @torch.no_grad()
    def generator():
        try:
            received = yield torch.is_grad_enabled()
            say("inside", received, torch.is_grad_enabled())
            try:
                yield 2
            except ValueError as error:
                say("inside", error, torch.is_grad_enabled())
            yield 3
        finally:
            say("end", torch.is_grad_enabled())
        return 4

    running = generator()
    say(next(running), torch.is_grad_enabled())
    say(running.send("sent"), torch.is_grad_enabled())
    say(running.throw(ValueError("thrown")), torch.is_grad_enabled())
    try:
        next(running)
    except StopIteration as stop:
        say(stop.value)
    closed = generator()
    next(closed)
    closed.close()
    say(torch.is_grad_enabled())


@scenario
def inference_mode(torch, say):
    x = xyz(torch)
    with torch.inference_mode():
        say(torch.is_inference_mode_enabled(), torch.is_grad_enabled(), (x * 2).requires_grad)
        with torch.inference_mode(False):
            say(torch.is_inference_mode_enabled(), torch.is_grad_enabled(), (x * 2).requires_grad)
        say(torch.is_inference_mode_enabled())
    say(torch.is_inference_mode_enabled(), torch.is_grad_enabled())
    with torch.no_grad(), torch.inference_mode(False):
        say(torch.is_grad_enabled())


@scenario
def other_switches(torch, say):
    from_autograd = torch.autograd
    say(from_autograd.is_multithreading_enabled())
    with from_autograd.set_multithreading_enabled(False):
        say(from_autograd.is_multithreading_enabled())
    say(from_autograd.is_multithreading_enabled(), from_autograd.is_view_replay_enabled())
    with from_autograd.enforce_grad_layout_policy(False):
        say(True)
    x = torch.ones(2)
    with torch.autograd.grad_mode._unsafe_preserve_version_counter(x):
        x.add_(1)
    say(x._version)


@scenario
def variables(torch, say):
    variable = torch.autograd.Variable
    x = torch.ones(2)
    say(variable(x, requires_grad=True), variable(x, True), variable(), variable(x, volatile=True))
    say(variable(x, requires_grad=True) is x, isinstance(x, variable), variable(x).data_ptr() == x.data_ptr())
    say(variable(xyz(torch)).requires_grad, torch.autograd.variable.Variable is variable)
    say.attempt(lambda: variable(3))
    say.attempt(lambda: torch.autograd.variable(3))
    say.attempt(lambda: variable._execution_engine.queue_callback(print))
    done = []
    y = xyz(torch) * 2
    y.register_hook(
        lambda g: variable._execution_engine.queue_callback(lambda: done.append("over")) or done.append("hook")
    )
    y.sum().backward()
    say(done)


@scenario
def what_torch_autograd_exports(torch, say):
    say(*sorted(torch.autograd.__all__))
    for name in torch.autograd.__all__:
        say(name, getattr(torch.autograd, name).__module__ if name != "grad_mode" else "")
    say(
        [
            hasattr(torch.autograd, n)
            for n in ("functional", "forward_ad", "graph", "profiler", "anomaly_mode", "function")
        ]
    )


@pytest.mark.parametrize("program", scenario, ids=scenario.names())
def test_transcripts(program):
    compare(program)
