"""The tape agrees with native PyTorch: accumulation, freeing, versions, views and writes, names, errors and their texts."""

import pytest

pytest.importorskip("torch")

from transcript import Scenarios, compare

scenario = Scenarios()


def xyz(torch, *values):
    return torch.tensor(values or (1.0, 2.0, 3.0), requires_grad=True)


# Accumulation into .grad.


@scenario
def gradients_accumulate_in_place(torch, say):
    x = xyz(torch)
    (x * 2).sum().backward()
    first, version = x.grad, x.grad._version
    (x * 3).sum().backward()
    say(x.grad is first, first, first._version - version, first.requires_grad, first.is_leaf)


@scenario
def a_given_gradient_is_not_kept(torch, say):
    x, given = xyz(torch), torch.ones(3)
    x.backward(given)
    say(x.grad is given, x.grad.data_ptr() == given.data_ptr())
    given.zero_()
    say(x.grad)
    x.grad = None
    x.clone().backward(given)
    say(x.grad)


@scenario
def create_graph_gives_the_gradient_a_history(torch, say):
    x = xyz(torch)
    (x**3).sum().backward(create_graph=True)
    first = x.grad
    say(first, first.grad_fn.next_functions)
    (x**2).sum().backward()
    say(x.grad is first, x.grad)
    (x.grad * 1).sum().backward()
    say(x.grad)


@scenario
def setting_grad(torch, say):
    x = xyz(torch)
    x.grad = torch.full((3,), 2.0)
    x.sum().backward()
    say(x.grad)
    x.grad = None
    say(x.grad)
    for wrong in (3, torch.ones(2), x, torch.ones(3, dtype=torch.double), torch.ones(2, dtype=torch.long)):
        say.attempt(lambda wrong=wrong: setattr(x, "grad", wrong))
    for dtype in (torch.float16, torch.bfloat16, torch.int32, torch.int16, torch.int8, torch.uint8, torch.complex64):
        say.attempt(lambda dtype=dtype: setattr(x, "grad", torch.ones(3, dtype=dtype)))


@scenario
def a_tensor_used_twice(torch, say):
    x = xyz(torch)
    (x * x + x).sum().backward()
    say(x.grad)
    say(torch.autograd.grad((x * x).sum(), [x, x]))
    say(torch.autograd.grad([x.sum(), (2 * x).sum()], x))
    torch.autograd.backward([x.sum(), (x * 2).sum()])
    say(x.grad)


@scenario
def gradients_of_a_non_leaf(torch, say):
    x = xyz(torch)
    y = x * 2
    say(y.grad, y.retains_grad)
    y.retain_grad()
    say(y.retains_grad, x.retains_grad, y.is_leaf)
    y.sum().backward()
    say(y.grad)
    say.attempt(lambda: x.retain_grad())
    say.attempt(lambda: torch.ones(1).retain_grad())


@scenario
def retained_gradients_follow_writes(torch, say):
    x = xyz(torch)
    y = x * 2
    y.retain_grad()
    y.mul_(3)
    y.sum().backward()
    say(y.grad, x.grad)


@scenario
def unused_inputs(torch, say):
    x, other = xyz(torch), xyz(torch)
    say.attempt(lambda: torch.autograd.grad(x.sum(), [x, other]))
    say(torch.autograd.grad(x.sum(), [x, other], allow_unused=True))
    say(torch.autograd.grad(x.sum(), [x, other], materialize_grads=True))
    say(torch.autograd.grad((x**2).sum(), [x, other], materialize_grads=True, create_graph=True)[1].requires_grad)
    say.attempt(lambda: torch.autograd.grad(x.sum(), [x], allow_unused=False, materialize_grads=True))


@scenario
def roots_that_are_inputs(torch, say):
    x = xyz(torch)
    say(torch.autograd.grad(x, x, torch.ones(3)))
    y = x * 2
    say(torch.autograd.grad(y.sum(), y))
    y = x * 2
    say(torch.autograd.grad((y * y).sum(), [y, x]))


@scenario
def backward_for_chosen_inputs(torch, say):
    x, w = xyz(torch), xyz(torch, 4.0, 5.0, 6.0)
    y = x * w
    y.sin().sum().backward(inputs=[x], retain_graph=True)
    say(x.grad, w.grad)
    z = y.exp()
    z.sum().backward(inputs=[y], retain_graph=True)
    say(y.grad, y.retains_grad, x.grad, w.grad)
    z.sum().backward(inputs={"w": w})
    say(w.grad)


# Freeing the graph.


@scenario
def a_second_backward(torch, say):
    x = xyz(torch)
    for function in (lambda: x.exp(), lambda: x * x, lambda: x * 2, lambda: x / 2, lambda: x**2, lambda: x.sin().sum()):
        y = function()
        y.sum().backward()
        say.attempt(lambda y=y: y.sum().backward())
    for function in (
        lambda: x + 2,
        lambda: x.sum(),
        lambda: x.view(3, 1),
        lambda: x.clone(),
        lambda: -x,
        lambda: 2 - x,
    ):
        y = function()
        y.sum().backward()
        y.sum().backward()
        say(x.grad)


@scenario
def retain_graph(torch, say):
    x = xyz(torch)
    y = x.exp().sum()
    y.backward(retain_graph=True)
    y.backward()
    say(x.grad)
    say.attempt(lambda: y.backward())
    y = x.exp()
    z = y.sin()
    torch.autograd.grad(z.sum(), y)
    say.attempt(lambda: z.sum().backward())
    y.sum().backward()
    say(x.grad)


@scenario
def create_graph_retains(torch, say):
    x = xyz(torch)
    y = (x**3).sum()
    (g,) = torch.autograd.grad(y, x, create_graph=True)
    say(g, torch.autograd.grad(y, x))


# Errors of backward and grad.


@scenario
def roots_without_history(torch, say):
    say.attempt(lambda: torch.ones(()).backward())
    say.attempt(lambda: torch.ones(3).backward())
    x = xyz(torch)
    say.attempt(lambda: torch.autograd.backward([x.sum(), torch.ones(())]))
    say.attempt(lambda: torch.autograd.grad(torch.ones(()), x))
    say.attempt(lambda: x.detach().sum().backward())


@scenario
def gradients_that_do_not_fit(torch, say):
    x = xyz(torch)
    grad = torch.autograd.grad
    for function in (
        lambda: (x * 2).backward(),
        lambda: (x * 2).sum().backward(torch.ones(2)),
        lambda: (x * 2).backward(torch.ones(2)),
        lambda: (x * 2).sum().backward(1),
        lambda: (x * 2).sum().backward([1]),
        lambda: grad((x * (1 + 2j)).sum(), [x]),
        lambda: grad(x * 2, x, [torch.ones(3, dtype=torch.complex64)]),
        lambda: grad(x * 2, x, [torch.ones(3, dtype=torch.double)]),
        lambda: grad(x * 2, x, [torch.ones(3, dtype=torch.long)]),
        lambda: grad([x * 2, x.sum()], x, [torch.ones(3)]),
        lambda: torch.autograd.backward([x.sum(), x.sum()], [torch.ones(())]),
        lambda: torch.autograd.backward(x.sum(), None, grad_variables=torch.ones(())),
        lambda: torch.autograd.backward(x.sum(), torch.ones(()), grad_variables=torch.ones(())),
    ):
        say.attempt(function)


@scenario
def inputs_of_the_wrong_kind(torch, say):
    x = xyz(torch)
    grad = torch.autograd.grad
    for function in (
        lambda: x.sum().backward(inputs=[]),
        lambda: x.sum().backward(inputs=[torch.ones(1)]),
        lambda: grad(x.sum(), []),
        lambda: grad(x.sum(), [torch.ones(1)]),
        lambda: grad(x.sum(), 3),
        lambda: grad(x.sum(), [3]),
        lambda: grad(3, x),
        lambda: torch.autograd.backward(3),
        lambda: grad(x.sum(), {"x": x}),
        lambda: grad(x.sum(), __import__("collections").UserDict(x=x)),
        lambda: grad(x.sum(), x, only_inputs=False),
    ):
        say.attempt(function)


@scenario
def batched_gradients(torch, say):
    x = xyz(torch)
    say(torch.autograd.grad(x**2, x, [torch.eye(3)], is_grads_batched=True))
    y = x.exp()
    for rows in torch.autograd.grad([y, x.sum()], x, [torch.ones(2, 3), torch.ones(2)], is_grads_batched=True):
        say(rows)
    say.attempt(lambda: torch.autograd.grad(x * 2, x, [torch.ones(2, 2)], is_grads_batched=True))
    (rows,) = torch.autograd.grad(x**3, x, [torch.eye(3)], is_grads_batched=True, create_graph=True)
    say(torch.autograd.grad(rows.sum(), x))


# Higher derivatives.


@scenario
def first_to_fourth_derivative(torch, say):
    x = torch.tensor(0.5, requires_grad=True)
    for function in (
        lambda t: t**4,
        lambda t: t.sin() * t.exp(),
        lambda t: (1 + t * t).log(),
        lambda t: t.tanh().sigmoid(),
        lambda t: torch.stack([t, t * t]).softmax(0)[0],
        lambda t: torch.stack([t, t * t]).view(1, 2).t().select(0, 1).sum() ** 2,
        lambda t: torch.stack([t, 2 * t, t**3]).expand(2, 3).cumsum(1).prod(),
    ):
        y = function(x)
        for _ in range(4):
            if not y.requires_grad:
                break
            (y,) = torch.autograd.grad(y, x, create_graph=True)
            say(f"{y.item() + 0.0:.3f}".replace("-0.000", "0.000"))


@scenario
def names_of_gradients_of_gradients(torch, say):
    x = torch.tensor([0.5, 0.25], requires_grad=True)
    for function in (
        torch.exp, torch.sin, torch.log, torch.sqrt, torch.tanh, torch.sigmoid, torch.relu, lambda t: t**3, lambda t: t * 3,
        lambda t: t.softmax(0), lambda t: t.log_softmax(0), lambda t: t.sum(), lambda t: t.mean(), lambda t: t[0],
        lambda t: t[:1], lambda t: t.view(2, 1), lambda t: t.unsqueeze(0), lambda t: t.abs(), lambda t: t.clamp(0, 1),
        lambda t: torch.nn.functional.gelu(t), lambda t: t / 2, lambda t: -t,
    ):  # fmt: skip
        y = function(x)
        (g,) = torch.autograd.grad(y, x, torch.ones_like(y).requires_grad_(), create_graph=True)
        say(type(y.grad_fn).__name__, type(g.grad_fn).__name__)


# Leaves and requires_grad.


@scenario
def requires_grad(torch, say):
    x = xyz(torch)
    y = x * 2
    say.attempt(lambda: y.requires_grad_(False))
    say.attempt(lambda: setattr(y, "requires_grad", False))
    say(y.requires_grad_() is y)
    integers = torch.ones(2, dtype=torch.long)
    say.attempt(lambda: integers.requires_grad_())
    say.attempt(lambda: setattr(integers, "requires_grad", True))
    say.attempt(lambda: torch.ones(2, dtype=torch.long, requires_grad=True))
    say.attempt(lambda: torch.arange(3, requires_grad=True))
    x.requires_grad = False
    say(x.requires_grad, (x * 2).requires_grad, y.requires_grad)
    say(torch.ones(2, dtype=torch.complex64).requires_grad_())


@scenario
def detaching(torch, say):
    x = xyz(torch)
    y = x * 2
    z = y.detach()
    say(z.requires_grad, z.is_leaf, z.grad_fn, z._base is None, z.data_ptr() == y.data_ptr())
    say.attempt(lambda: y[:1].detach_())
    say(y.detach_() is y, y.grad_fn, y.requires_grad, y.is_leaf)
    say.attempt(lambda: x.numpy())
    say(x.detach().numpy())


@scenario
def writing_to_leaves(torch, say):
    x = xyz(torch)
    for write in (
        lambda: x.mul_(2), lambda: x[:1].mul_(2), lambda: x.view(3).mul_(2), lambda: x.expand(2, 3).mul_(2), lambda: x.zero_(),
        lambda: x.fill_(1), lambda: x.__setitem__(0, 1.0), lambda: x.normal_(), lambda: x.uniform_(), lambda: x.copy_(x),
        lambda: x.expand(2, 3).zero_(), lambda: x.exp_(), lambda: x.clamp_(0, 1), lambda: x.relu_(),
    ):  # fmt: skip
        say.attempt(write)
    with torch.no_grad():
        say(x.mul_(2), x._version)
    x.data.add_(1)
    say(x, x._version)
    say(x.detach().mul_(2), x._version)


@scenario
def overlapping_memory(torch, say):
    x = xyz(torch)
    say.attempt(lambda: x.clone().expand(2, 3).mul_(2))
    y = x.clone()
    say.attempt(lambda: y.add_(y))
    say.attempt(lambda: y[1:].copy_(y[:-1]))


# Versions.


@scenario
def saved_tensors_that_were_written_to(torch, say):
    for name in ("exp", "sigmoid", "tanh", "relu", "sqrt", "reciprocal", "rsqrt"):
        x = xyz(torch)
        y = getattr(x * 2, name)()
        y += 1
        say.attempt(lambda y=y: y.sum().backward())
        y = getattr(x * 2, name)()
        y[0] = 1
        say.attempt(lambda y=y: y.sum().backward())
    for name in ("sin", "cos", "log", "square"):
        x = xyz(torch)
        h = x * 2
        y = getattr(h, name)()
        h.add_(1)
        say.attempt(lambda y=y: y.sum().backward())


@scenario
def inputs_that_are_not_saved_may_be_written_to(torch, say):
    for name in ("exp", "sigmoid", "tanh", "relu", "sqrt", "reciprocal"):
        x = xyz(torch, 0.25, 0.5, 1.0)
        h = x * 2
        y = getattr(h, name)()
        h.add_(1)
        y.sum().backward()
        say(x.grad)
    x = torch.tensor([[3.0, 1.0], [2.0, 5.0]], requires_grad=True)
    h = x * 1
    values, _ = h.max(1)
    h.zero_()
    values.sum().backward()
    say(x.grad)


@scenario
def where_the_written_tensor_came_from(torch, say):
    x = xyz(torch)
    h = x * 2
    y = h.sin()
    h[0] = 3
    say.attempt(lambda: y.sum().backward())
    h = x * 2
    y = h[:2].sin()
    h.mul_(3)
    say.attempt(lambda: y.sum().backward())
    h = x * 2
    v = h[:2]
    y = v.sin()
    v.mul_(3)
    say.attempt(lambda: y.sum().backward())
    plain = torch.ones(3)
    y = plain * x
    plain.add_(1)
    say.attempt(lambda: y.sum().backward())
    h = x.clone()
    y = h * h
    h.detach().fill_(3)
    say.attempt(lambda: y.sum().backward())


@scenario
def a_weight_that_was_stepped_between(torch, say):
    x, weight = torch.ones(1, 3), torch.ones(2, 3, requires_grad=True)
    inputs = x.clone().requires_grad_()
    y = torch.nn.functional.linear(inputs * 2, weight)
    with torch.no_grad():
        weight.mul_(2)
    say.attempt(lambda: y.sum().backward())
    y = torch.mm(inputs * 2, weight.t())
    with torch.no_grad():
        weight.mul_(2)
    say.attempt(lambda: y.sum().backward())


@scenario
def writes_that_the_backward_does_not_mind(torch, say):
    x = xyz(torch)
    h = x * 2
    y = h + 1
    h.mul_(3)
    (y.sum() + h.sum()).backward()
    say(x.grad)
    x.grad = None
    h = x.clone()
    y = h.sum()
    h.zero_()
    y.backward()
    say(x.grad, h, h.grad_fn)


# Views and writes through them.


@scenario
def a_write_through_a_view(torch, say):
    x = xyz(torch)
    y = x * 2
    y[0] = x[1] * 5
    y[1:] += 1
    say(y.grad_fn, y.grad_fn.next_functions, y.grad_fn.next_functions[0][0].next_functions)
    y.sum().backward()
    say(y, x.grad)
    x = torch.ones(2, 2, requires_grad=True)
    y = x * 2
    y.t()[0].add_(1)
    say(y.grad_fn.next_functions)
    y.sum().backward()
    say(x.grad)


@scenario
def a_write_makes_a_base_differentiable(torch, say):
    x = torch.ones(2, 2, requires_grad=True)
    y = torch.zeros(2, 2)
    y[0] = x[0]
    y[1].copy_(x[1] * 2)
    say(y.requires_grad, y.is_leaf, y.grad_fn.next_functions)
    y.sum().backward()
    say(x.grad)
    base = torch.ones(3)
    view = base[:1]
    base.mul_(xyz(torch))
    say(view.requires_grad, view.grad_fn, view.is_leaf)


@scenario
def views_follow_their_base(torch, say):
    x = xyz(torch)
    y = x * 2
    v = y[:1]
    inner = v[:1]
    y.mul_(3)
    say(inner.grad_fn, inner.grad_fn.next_functions, v.grad_fn.next_functions)
    inner.sum().backward()
    say(x.grad)
    x.grad = None
    y = x * 2
    v, w = y[:1], y[1:]
    v.mul_(w[:1].clone())
    say(y.grad_fn, v.grad_fn, w.grad_fn, y.grad_fn.next_functions, v.grad_fn.next_functions)
    (y.sum() + w.sum()).backward()
    say(x.grad)


@scenario
def names_after_writes(torch, say):
    x = torch.ones(2, requires_grad=True)
    index = torch.tensor([0])
    for write in (
        lambda y: y.copy_(x), lambda y: y.add_(x), lambda y: y.add_(x, alpha=2), lambda y: y.fill_(3), lambda y: y.zero_(),
        lambda y: y.relu_(), lambda y: y.clamp_(0, 1), lambda y: y.masked_fill_(torch.tensor([True, False]), 0),
        lambda y: y.index_fill_(0, index, 1.0), lambda y: y.__setitem__(index, 3.0), lambda y: y.exp_(), lambda y: y.sqrt_(),
        lambda y: y.sub_(1).div_(2).pow_(2), lambda y: y.lerp_(x, 0.5), lambda y: y.mul_(2), lambda y: y.neg_(),
        lambda y: y.__setitem__(0, 1.0), lambda y: y.__setitem__(slice(1), x[:1]),
    ):  # fmt: skip
        y = x * 2
        write(y)
        say(y.grad_fn, y.grad_fn.next_functions)


@scenario
def views_made_in_no_grad_mode(torch, say):
    x = xyz(torch)
    h = x.clone()
    with torch.no_grad():
        v = h[:1]
    say(v.requires_grad, v.is_leaf, v.grad_fn, v._is_view(), (v * 1).requires_grad)
    say.attempt(lambda: v.mul_(2))
    say.attempt(lambda: v.add_(torch.ones(1)))
    h.mul_(2)
    say(v.requires_grad)
    say.attempt(lambda: v.grad_fn)
    say.attempt(lambda: v.is_leaf)
    say.attempt(lambda: v * 2)
    h = x.clone()
    with torch.no_grad():
        v = h[:1]
        v.mul_(3)
    say(h)
    say.attempt(lambda: v.grad_fn)
    base = torch.ones(3)
    with torch.no_grad():
        v = base[:1]
    say.attempt(lambda: v.mul_(x[:1]))


@scenario
def several_views_made_at_once(torch, say):
    x = xyz(torch)
    for views in (lambda t: t.unbind(0), lambda t: t.split([1, 2]), lambda t: t.chunk(2), lambda t: t.split(1)):
        first = views(x.clone())[0]
        say.attempt(lambda first=first: first.mul_(2))
        first = views(torch.ones(3))[0]
        say.attempt(lambda first=first: first.mul_(2))
        say.attempt(lambda first=first: first.mul_(x[0]))
        base = torch.ones(3)
        first = views(base)[0]
        base.mul_(x)
        say.attempt(lambda first=first: first.grad_fn)
        say(first.requires_grad)


@scenario
def views_that_are_leaves(torch, say):
    base = torch.ones(3)
    view = base[:1]
    base.requires_grad_()
    say(view.requires_grad, view.is_leaf)
    say.attempt(lambda: view.mul_(2))
    base = torch.ones(3)
    view = base[:1]
    view.requires_grad_()
    say(base.requires_grad)
    say.attempt(lambda: view.mul_(2))
    say(base.mul_(2))
    (view * 2).sum().backward()
    say(view.grad, base.grad)


# Nodes.


@scenario
def nodes_of_a_chain(torch, say):
    x, w = torch.ones(2, 3, requires_grad=True), torch.ones(3, 3, requires_grad=True)

    def tree(node, depth=0):
        say(" " * depth, None if node is None else type(node).__name__)
        for child, index in () if node is None else node.next_functions:
            say(" " * depth, index)
            tree(child, depth + 1)

    for y in (
        x.mm(w).relu().sum(),
        (x @ w + 1).mean(dim=0).log_softmax(0),
        torch.cat([x, w]).t().reshape(-1)[2],
        torch.stack([x[0], x[1]]).max(),
        (2 - x) / (x * x + 3) ** 2,
        torch.nn.functional.linear(x, w, w[0]),
        torch.where(x > 0, x, x * 2).permute(1, 0).contiguous().view(-1),
        x.unsqueeze(0).squeeze(0).transpose(0, 1).expand(2, 3, 2).norm(),
        torch.nn.functional.cross_entropy(x, torch.tensor([1, 0])),
        x.masked_fill(x > 3, 0).cumsum(1).gather(1, torch.tensor([[0], [1]])),
        torch.nn.functional.mse_loss(x, x * 2),
        x.std() + x.var(0).sum() + x.pow(3).prod() + x.abs().sqrt().sum(),
        x.index_select(0, torch.tensor([0])).clamp(min=0),
        x.double().float().clone(),
    ):
        tree(y.grad_fn)


@scenario
def nodes_of_several_outputs(torch, say):
    t = torch.tensor([[3.0, 1.0], [2.0, 5.0]], requires_grad=True)
    values, indices = t.max(1)
    say(values.grad_fn, values.output_nr, indices.requires_grad, indices.grad_fn)
    first, second = t.unbind(0)
    say(second.grad_fn, second.output_nr, first.grad_fn is second.grad_fn)
    (second * 2).sum().backward()
    say(t.grad)
    pieces = t.chunk(2, 1)
    say(pieces[1].grad_fn, pieces[1].output_nr)
    ordered = t.sort(1)
    say(type(ordered).__name__, ordered.values.grad_fn, ordered.indices.requires_grad)
    t.grad = None
    values.sum().backward()
    say(t.grad)


@scenario
def what_nodes_say_of_themselves(torch, say):
    x = xyz(torch)
    node = (x * 2).grad_fn
    say(node, node.name(), type(node), node.metadata, node.requires_grad, isinstance(node, torch.autograd.graph.Node))
    node.metadata["a"] = 1
    say(node.metadata, [(m.shape, m.dtype, m.device) for m in node._input_metadata])
    say(node(torch.ones(3)))
    say((x + 1).grad_fn._sequence_nr() > node._sequence_nr())
    say.attempt(lambda: node.nonsense)


# Complex numbers.


@scenario
def gradients_of_complex_functions(torch, say):
    z = torch.tensor([1 + 2j, 0.5 - 1j], requires_grad=True)
    for function in (
        lambda t: (t * t.conj()).real.sum(), lambda t: t.abs().sum(), lambda t: (t * (2 - 1j)).imag.sum(),
        lambda t: torch.view_as_real(t).sum(), lambda t: (t**2).real.sum(),
        lambda t: t.angle().sum(), lambda t: (t / (1 + 1j)).abs().sum(),
    ):  # fmt: skip
        (g,) = torch.autograd.grad(function(z), z)
        say(g)
    say.attempt(lambda: z.sum().backward())
    z.backward(torch.tensor([1j, 2.0]))
    say(z.grad)
    x = xyz(torch)
    (torch.complex(x, 2 * x) * (1 + 1j)).abs().sum().backward()
    say(x.grad)
    (g,) = torch.autograd.grad((z * z).abs().sum(), z, create_graph=True)
    say(torch.autograd.grad(g.abs().sum(), z))


@pytest.mark.parametrize("program", scenario, ids=scenario.names())
def test_transcripts(program):
    compare(program)
