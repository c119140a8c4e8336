"""`torch.utils.checkpoint` agrees with native PyTorch: values, gradients, random numbers, how often functions run, errors."""

import pytest

pytest.importorskip("torch")

from transcript import Scenarios, compare

scenario = Scenarios()


def both_ways(program):
    """Make a scenario of each way to checkpoint."""
    for reentrant in (True, False):

        def run(torch, say, reentrant=reentrant):
            import importlib

            module = importlib.import_module(f"{torch.__name__}.utils.checkpoint")
            program(torch, say, module, reentrant)

        run.__name__ = f"{program.__name__}-{'reentrant' if reentrant else 'not_reentrant'}"
        scenario(run)
    return program


def leaves(torch):
    return torch.tensor([0.5, 1.0, 2.0], requires_grad=True), torch.tensor([1.0, 2.0, 3.0], requires_grad=True)


def counted(torch):
    runs = []

    def function(x, w, scale=2.0):
        runs.append(torch.is_grad_enabled())
        return ((x * w).sin().exp() * scale).sigmoid()

    return function, runs


@both_ways
def values_and_gradients(torch, say, module, reentrant):
    function, runs = counted(torch)
    x, w = leaves(torch)
    y = module.checkpoint(function, x, w, use_reentrant=reentrant)
    say(y, runs)
    y.sum().backward()
    say(x.grad, w.grad, runs)
    y = module.checkpoint(function, x, w, use_reentrant=reentrant)
    y.sum().backward(retain_graph=True)
    y.sum().backward()
    say(x.grad, len(runs))
    say.attempt(lambda: y.sum().backward())
    with torch.no_grad():
        say(module.checkpoint(function, x, w, use_reentrant=reentrant))


@both_ways
def gradients_of_chosen_inputs(torch, say, module, reentrant):
    function, _ = counted(torch)
    x, w = leaves(torch)
    call = lambda: module.checkpoint(function, x, w, use_reentrant=reentrant).sum()  # noqa: E731
    say.attempt(lambda: torch.autograd.grad(call(), (x, w)))
    say.attempt(lambda: call().backward(inputs=[x]))
    say.attempt(lambda: torch.autograd.grad(call(), x, create_graph=True)[0].detach())


@both_ways
def keyword_arguments(torch, say, module, reentrant):
    function, _ = counted(torch)
    x, w = leaves(torch)
    say.attempt(lambda: module.checkpoint(function, x, w, use_reentrant=reentrant, scale=3.0))
    say.attempt(lambda: module.checkpoint(function, x, w, use_reentrant=reentrant, context_fn=lambda: 1))
    say.attempt(lambda: module.checkpoint(function, x, w, use_reentrant=reentrant, determinism_check="x"))
    say.attempt(lambda: module.checkpoint(function, x, w, use_reentrant=reentrant, debug=True).sum())


@both_ways
def nothing_requires_a_gradient(torch, say, module, reentrant):
    function, _ = counted(torch)
    x, w = leaves(torch)
    say(module.checkpoint(function, x.detach(), w.detach(), use_reentrant=reentrant))
    y = module.checkpoint(lambda a: a.detach() * 2, x, use_reentrant=reentrant)
    say.attempt(lambda: y.sum().backward())


@both_ways
def random_numbers(torch, say, module, reentrant):
    torch.manual_seed(3)
    x, _ = leaves(torch)
    drop = torch.nn.Dropout(0.5)
    y = module.checkpoint(lambda a: drop(a * 2) * drop(a), x, use_reentrant=reentrant)
    after = torch.get_rng_state()
    y.sum().backward()
    say(y, x.grad, torch.equal(after, torch.get_rng_state()))
    y = module.checkpoint(lambda a: drop(a * 2), x, use_reentrant=reentrant, preserve_rng_state=False)
    say(y)
    y.sum().backward()
    say(torch.equal(after, torch.get_rng_state()))


@both_ways
def several_results_and_errors(torch, say, module, reentrant):
    x, _ = leaves(torch)
    say.attempt(lambda: module.checkpoint(lambda a: (a * 2, 3, a.exp()), x, use_reentrant=reentrant))

    def fail(a):
        raise ValueError("inside")

    say.attempt(lambda: module.checkpoint(fail, x, use_reentrant=reentrant))
    say((x.sin() * 2).sum())


@both_ways
def segments(torch, say, module, reentrant):
    nn = torch.nn
    model = nn.Sequential(nn.Linear(3, 4), nn.Tanh(), nn.Linear(4, 4), nn.Tanh(), nn.Linear(4, 1))
    with torch.no_grad():
        for i, p in enumerate(model.parameters()):
            p.copy_(torch.arange(p.numel()).reshape(p.shape) / 10.0 - 0.3 * i)
    x, _ = leaves(torch)
    y = module.checkpoint_sequential(model, 2, x, use_reentrant=reentrant)
    y.backward()
    say(y, [p.grad.sum() for p in model.parameters()], x.grad)
    say(module.checkpoint_sequential([model[0], torch.sin], 1, x, use_reentrant=reentrant))
    say.attempt(lambda: module.checkpoint_sequential(model, 2, x, use_reentrant=reentrant, foo=1))


@both_ways
def inside_of_each_other(torch, say, module, reentrant):
    function, runs = counted(torch)
    x, w = leaves(torch)

    def outer(a):
        return module.checkpoint(function, a * 2, w, use_reentrant=reentrant).cos()

    module.checkpoint(outer, x, use_reentrant=reentrant).sum().backward()
    say(x.grad, w.grad, len(runs))


def _module(torch):
    import importlib

    return importlib.import_module(f"{torch.__name__}.utils.checkpoint")


@scenario
def runs_that_differ(torch, say):
    module = _module(torch)
    x, _ = leaves(torch)
    count = [0]

    def changing(a):
        count[0] += 1
        y = a.sin()
        if count[0] % 2:
            y = y.cos()
        return y.exp()

    y = module.checkpoint(changing, x, use_reentrant=False)
    say.attempt(lambda: y.sum().backward())
    count[0] = 1
    y = module.checkpoint(changing, x, use_reentrant=False)
    say.attempt(lambda: y.sum().backward())
    count[0] = 1
    with module.set_checkpoint_early_stop(False):
        y = module.checkpoint(changing, x, use_reentrant=False)
    say.attempt(lambda: y.sum().backward())
    count[0] = 0

    def growing(a):
        count[0] += 1
        return (a.repeat(count[0]).sin() * 2).sum()

    y = module.checkpoint(growing, x, use_reentrant=False)
    say.attempt(lambda: y.backward())


@scenario
def how_far_functions_run_again(torch, say):
    module = _module(torch)
    x, _ = leaves(torch)
    steps = []

    def function(a):
        b = a.sin()
        steps.append("sin")
        c = b * 3
        steps.append("mul")
        return c + 1

    for options in ({}, {"early_stop": False}):
        steps.clear()
        module.checkpoint(function, x, use_reentrant=False, **options).sum().backward()
        say(steps)
    for option, early in ((True, False), (False, True)):
        steps.clear()
        with module.set_checkpoint_early_stop(option):
            y = module.checkpoint(function, x, use_reentrant=False, early_stop=early)
        y.sum().backward()
        say(steps)


@scenario
def higher_derivatives(torch, say):
    module = _module(torch)
    x, _ = leaves(torch)
    function = lambda a: a.sin().exp()  # noqa: E731
    (g,) = torch.autograd.grad(module.checkpoint(function, x, use_reentrant=False).sum(), x, create_graph=True)
    say(g.detach(), torch.autograd.grad(g.sum(), x))


@scenario
def one_run_for_several_backward_passes(torch, say):
    module = _module(torch)
    x, _ = leaves(torch)
    runs = []

    def function(a):
        runs.append(1)
        return a.sin(), a.cos()

    with module.GraphExecGroup():
        y = module.checkpoint(function, x, use_reentrant=False)
        y[0].sum().backward()
        y[1].sum().backward()
        say(len(runs), x.grad)
        say.attempt(lambda: y[0].sum().backward())
        say.attempt(lambda: module.GraphExecGroup().__enter__())
    y = module.checkpoint(function, x, use_reentrant=False)
    y[0].sum().backward()
    y[1].sum().backward()
    say(len(runs))


@scenario
def an_argument_that_was_written_to(torch, say):
    module = _module(torch)
    x, _ = leaves(torch)
    h = x.clone()
    y = module.checkpoint(lambda a: a.sin(), h, use_reentrant=False)
    with torch.no_grad():
        h.mul_(2)
    say.attempt(lambda: y.sum().backward())


@scenario
def a_module_with_parameters(torch, say):
    module = _module(torch)
    layer = torch.nn.Linear(3, 2)
    with torch.no_grad():
        layer.weight.fill_(0.5)
        layer.bias.zero_()

    class Net(torch.nn.Module):
        def forward(self, a, scale=None):
            return (layer(a) * scale["by"]).relu()

    x, _ = leaves(torch)
    y = module.checkpoint(Net(), x.detach(), scale={"by": torch.ones(2)}, use_reentrant=False)
    y.sum().backward()
    say(layer.weight.grad, layer.bias.grad)


@scenario
def names_of_nodes(torch, say):
    module = _module(torch)
    x, _ = leaves(torch)
    y = module.checkpoint(lambda a: a.sin() * 3 + 1, x, use_reentrant=False)
    say(y.grad_fn, y.grad_fn.next_functions)
    say(module.checkpoint(lambda a: a.sin() * 3 + 1, x, use_reentrant=True).grad_fn)


@scenario
def helpers(torch, say):
    module = _module(torch)
    x, _ = leaves(torch)
    say.attempt(lambda: module.detach_variable([1]))
    detached = module.detach_variable((x, 1, x.detach()))
    say(detached, detached[0] is x, [getattr(t, "requires_grad", None) for t in detached])
    module.check_backward_validity([x])
    module.check_backward_validity([x.detach()])
    say(list(module.CheckpointPolicy), module.get_device_states(x), issubclass(module.CheckpointError, RuntimeError))
    say(module.checkpoint(lambda a: a * 2, x))
    say(module.checkpoint_sequential([torch.sin], 1, x))
    say(
        set(module.__all__) - {"SAC_IGNORED_OPS"}
        == {n for n in module.__all__ if n != "SAC_IGNORED_OPS" and hasattr(module, n)}
    )


@pytest.mark.parametrize("program", scenario, ids=scenario.names())
def test_transcripts(program):
    compare(program)
