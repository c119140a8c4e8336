"""Hooks on tensors, on accumulation and on nodes agree with native PyTorch: order, what they see, what they return."""

import pytest

pytest.importorskip("torch")

from transcript import Scenarios, compare

scenario = Scenarios()


def xyz(torch, *values):
    return torch.tensor(values or (1.0, 2.0, 3.0), requires_grad=True)


def _log_to(log, name, change=None):
    def hook(*tensors):
        log.append((name, [[round(v, 3) for v in t.reshape(-1).tolist()] for t in tensors]))
        return change(*tensors) if change else None

    return hook


@scenario
def the_order_of_hooks(torch, say):
    log = []
    w, b, x = xyz(torch, 1.0, 2.0), xyz(torch, 0.5, 0.5), torch.tensor([3.0, 4.0])
    handles = [
        w.register_hook(_log_to(log, "w first")),
        w.register_hook(_log_to(log, "w second", lambda g: g * 2)),
        b.register_hook(_log_to(log, "b")),
        w.register_post_accumulate_grad_hook(_log_to(log, "w accumulated")),
        b.register_post_accumulate_grad_hook(_log_to(log, "b accumulated")),
    ]
    a = w * x
    c = a + b
    d = c.sin()
    a.register_hook(_log_to(log, "a first"))
    a.register_hook(_log_to(log, "a second", lambda g: g + 1))
    c.register_hook(_log_to(log, "c"))
    d.register_hook(_log_to(log, "d"))
    node = a.grad_fn
    node.register_prehook(lambda grads: log.append(("before", [g.tolist() for g in grads])))
    node.register_hook(
        lambda *grads: log.append(("after", [[g is None or g.tolist() for g in side] for side in grads]))
    )
    a.retain_grad()
    c.retain_grad()
    c.register_hook(_log_to(log, "c after retain_grad", lambda g: g * 3))
    d.sum().backward()
    for entry in log:
        say(entry)
    say(w.grad, b.grad, a.grad, c.grad)
    log.clear()
    for handle in handles[:2]:
        handle.remove()
        handle.remove()
    w.grad = None
    (w * x + b).sum().backward()
    for entry in log:
        say(entry)
    say(w.grad)


@scenario
def hooks_in_grad(torch, say):
    log = []
    w, b = xyz(torch, 1.0, 2.0), xyz(torch, 0.5, 0.5)
    w.register_hook(_log_to(log, "w"))
    w.register_post_accumulate_grad_hook(_log_to(log, "w accumulated"))
    a = w * 3
    c = a + b
    s = c.sin().sum()
    c.register_hook(_log_to(log, "c", lambda g: g * 10))
    a.retain_grad()
    say(torch.autograd.grad(s, [w, c], retain_graph=True), log, a.grad)
    log.clear()
    say(torch.autograd.grad(s, [c], retain_graph=True), log)
    log.clear()
    s.backward(inputs=[w], retain_graph=True)
    say(w.grad, b.grad, log)
    w = xyz(torch)
    w.register_hook(lambda g: g * 100)
    say(torch.autograd.grad((w * 2).sum(), w))


@scenario
def hooks_on_what_is_written_to(torch, say):
    log = []
    x = xyz(torch)
    y = x * 2
    y.register_hook(_log_to(log, "before"))
    y.mul_(3)
    y.register_hook(_log_to(log, "after"))
    y.sum().backward()
    say(log)


@scenario
def hooks_on_accumulation(torch, say):
    log = []
    x = xyz(torch)
    node = (x * 2).grad_fn.next_functions[0][0]
    say(node, node.name(), node.variable is x, node.next_functions)
    handles = [
        node.register_prehook(lambda grads: log.append(("before", grads))),
        node.register_hook(lambda *grads: log.append(("after", grads))),
        x.register_hook(lambda grad: log.append(("tensor", grad))),
        x.register_post_accumulate_grad_hook(lambda t: log.append(("accumulated", t.grad))),
    ]
    (x * 2).sum().backward()
    say(*log)
    for handle in handles:
        handle.remove()
    log.clear()
    (x * 2).sum().backward()
    say(log, x.grad)


@scenario
def what_hooks_return(torch, say):
    x = xyz(torch)
    for result in (3, "a", torch.ones(1), torch.ones(3, dtype=torch.double), (torch.ones(3),)):
        handle = x.register_hook(lambda g, result=result: result)
        say.attempt(lambda: x.sum().backward())
        handle.remove()
        y = x * 2
        y.register_hook(lambda g, result=result: result)
        say.attempt(lambda y=y: y.sum().backward())
    ones = torch.ones(3)
    for result in (
        3,
        (ones,),
        (ones, ones),
        (ones, ones, ones),
        (ones, None),
        (ones[:1], None),
        [ones * 7, None],
        (3, None),
    ):
        for register in ("register_hook", "register_prehook"):
            x.grad = None
            y = x * 2
            getattr(y.grad_fn, register)(lambda *grads, result=result: result)
            say.attempt(lambda y=y: y.sum().backward())
            say(x.grad)
    y = x * 2
    y.grad_fn.register_hook(lambda one: None)
    say.attempt(lambda: y.sum().backward())


@scenario
def hooks_on_tensors_without_gradients(torch, say):
    plain, y = torch.ones(1), xyz(torch) * 2
    say.attempt(lambda: plain.register_hook(print))
    say.attempt(lambda: plain.register_post_accumulate_grad_hook(print))
    say.attempt(lambda: y.register_post_accumulate_grad_hook(print))


@scenario
def an_optimizer_in_the_backward(torch, say):
    weights = [xyz(torch, 1.0, 2.0), xyz(torch, 3.0, 4.0)]
    stepped = []

    def step(index):
        def hook(w):
            with torch.no_grad():
                w -= 0.1 * w.grad
            w.grad = None
            stepped.append(index)

        return hook

    for index, w in enumerate(weights):
        w.register_post_accumulate_grad_hook(step(index))
    h = torch.ones(2) * weights[0]
    (h * weights[1]).sum().backward()
    say(stepped, weights, [w.grad for w in weights])


@pytest.mark.parametrize("program", scenario, ids=scenario.names())
def test_transcripts(program):
    compare(program)
