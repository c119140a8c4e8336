"""`autograd.Function` agrees with native PyTorch: contexts, what is returned and what must not be, marks, errors and their texts."""

import pytest

pytest.importorskip("torch")

from transcript import Scenarios, compare

scenario = Scenarios()


def make(torch, forward, backward=None, name="Made", **members):
    """A Function of plain functions."""
    if backward is not None:
        members["backward"] = backward
    members = {key: staticmethod(value) if callable(value) else value for key, value in members.items()}
    return type(name, (torch.autograd.Function,), {"forward": staticmethod(forward), **members})


def leaf(torch):
    return torch.tensor([0.5, 1.0, 2.0], requires_grad=True)


def ones(torch, n=3):
    return torch.ones(n)


@scenario
def an_operation_and_its_gradient(torch, say):
    class Exp(torch.autograd.Function):
        @staticmethod
        def forward(ctx, x, scale, plain=None):
            say(type(ctx), ctx.needs_input_grad, torch.is_grad_enabled(), x.requires_grad)
            result = (x * scale).exp()
            ctx.save_for_backward(x, result, None)
            ctx.scale = scale
            return result

        @staticmethod
        def backward(ctx, grad):
            x, result, nothing = ctx.saved_tensors
            say(x is a, result.requires_grad, result.grad_fn, nothing, ctx.scale, torch.is_grad_enabled())
            return grad * result * ctx.scale, None

    a = leaf(torch)
    y = Exp.apply(a, 2)
    say(y, y.grad_fn, type(y.grad_fn), y.grad_fn.name(), y.grad_fn.next_functions, y.grad_fn.saved_tensors[0] is a)
    y.sum().backward()
    say(a.grad)
    say.attempt(lambda: y.grad_fn.saved_tensors)
    say.attempt(lambda: y.sum().backward())
    say(y.grad_fn.to_save, y.grad_fn.dirty_tensors, y.grad_fn.non_differentiable, Exp._backward_cls, Exp.__mro__[1:3])
    with torch.no_grad():
        say(Exp.apply(a, 2).requires_grad)
    say(Exp.apply(a.detach(), 2).requires_grad)


@scenario
def what_cannot_be_called(torch, say):
    function = make(torch, lambda ctx, x, y=None: x * 2, lambda ctx, g: (g * 2, None), name="F")
    a = leaf(torch)
    say.attempt(lambda: type(function()).__name__)
    say.attempt(lambda: function()(a))
    say.attempt(lambda: function.apply())
    say.attempt(lambda: function.apply(a, y=3))
    say.attempt(lambda: type("Empty", (torch.autograd.Function,), {}).apply(a))
    say.attempt(lambda: make(torch, lambda ctx, x: x * 1).apply(a).sum().backward())
    both = make(torch, lambda ctx, x: x * 1, lambda ctx, g: g, vjp=lambda ctx, g: g)
    say.attempt(lambda: both.apply(a).sum().backward())
    say.attempt(lambda: make(torch, lambda ctx, x: x * 1, vjp=lambda ctx, g: 3 * g).apply(a).sum().backward())
    say(a.grad)
    node = function.apply(a).grad_fn
    say.attempt(lambda: node(torch.ones(3)))
    say(node.apply(torch.ones(3)))
    say.attempt(lambda: node.nonsense)
    say.attempt(lambda: node.mark_shared_storage())


@scenario
def gradients_that_do_not_fit(torch, say):
    a, b = leaf(torch), leaf(torch)
    one, two = (lambda ctx, x: x * 1), (lambda ctx, x, y: x * 1)
    for forward, backward, args in (
        (two, lambda ctx, g: g, (a, b)),
        (one, lambda ctx, g: (g, None, None), (a,)),
        (one, lambda ctx, g: (g, g), (a,)),
        (two, lambda ctx, g: (g, g), (a, 3)),
        (two, lambda ctx, g: (g, 3), (a, b)),
        (one, lambda ctx, g: g[:2], (a,)),
        (one, lambda ctx, g: g.expand(2, 3), (a,)),
        (one, lambda ctx, g: g.double(), (a,)),
        (one, lambda ctx, g: g + 1j, (a,)),
        (one, lambda ctx, g: None, (a,)),
        (one, lambda ctx, g: "text", (a,)),
        (one, lambda ctx: None, (a,)),
    ):
        a.grad = None
        function = make(torch, forward, backward, name="F")
        say.attempt(lambda function=function, args=args: function.apply(*args).sum().backward())
        say(a.grad)


@scenario
def outputs_that_are_no_tensors(torch, say):
    seen = []

    def backward(ctx, *grads):
        seen.append(grads)
        return grads[0] * 2, None

    function = make(torch, lambda ctx, x, y: (x * 2, 5, None, y), backward, name="F")
    a, b = leaf(torch), leaf(torch).clone()
    outputs = function.apply(a, b)
    say(outputs, outputs[3] is b, outputs[3].grad_fn is outputs[0].grad_fn, outputs[3].output_nr)
    outputs[0].sum().backward()
    say(seen)
    say(function.apply(a.detach(), 3))
    say.attempt(lambda: make(torch, lambda ctx, x: None, lambda ctx, g: g).apply(a))
    say.attempt(lambda: make(torch, lambda ctx, x: [x * 1], lambda ctx, g: g).apply(a))
    say.attempt(lambda: make(torch, lambda ctx, x: (x * 1,), lambda ctx, g: g).apply(a))
    two = make(torch, lambda ctx, x: (x * 1, x * 2), lambda ctx, g: g, name="F")
    say.attempt(lambda: two.apply(a)[0].sum().backward())


@scenario
def an_input_that_is_returned(torch, say):
    identity = make(torch, lambda ctx, x: x, lambda ctx, g: g, name="F")
    view = make(torch, lambda ctx, x: x.view(1, 3), lambda ctx, g: g.view(3), name="F")
    detach = make(torch, lambda ctx, x: x.detach(), lambda ctx, g: g, name="F")
    a, b = leaf(torch), leaf(torch).clone()
    y = identity.apply(a)
    say(y, y is a, y._base is a, y._is_view(), y.data_ptr() == a.data_ptr())
    say.attempt(lambda: y.mul_(2))
    say.attempt(lambda: identity.apply(b).mul_(2))
    y = view.apply(b)
    say(y, y._base is b)
    say.attempt(lambda: y.mul_(2))
    y = detach.apply(b)
    say(y, y._base is b)
    say.attempt(lambda: y.mul_(2).grad_fn)
    plain = torch.ones(3)
    y = identity.apply(plain)
    say(y is plain, y.requires_grad)


@scenario
def inputs_that_are_written_to(torch, say):
    def double(ctx, x):
        x.mul_(2)
        ctx.mark_dirty(x)
        return x

    function = make(torch, double, lambda ctx, g: g * 2, name="F")
    a = leaf(torch)
    c = a.clone()
    before = c._version
    y = function.apply(c)
    say(y is c, c.grad_fn, c, c._version - before)
    y.sum().backward()
    say(a.grad)
    say.attempt(lambda: function.apply(a))
    c = a.clone()
    w = c[:2]
    y = function.apply(w)
    say(y is w, w.grad_fn, c.grad_fn, c.grad_fn.next_functions, c)
    a.grad = None
    c.sum().backward()
    say(a.grad)
    plain = torch.ones(3)
    say(function.apply(plain) is plain, plain, plain.requires_grad)

    def not_returned(ctx, x):
        x.mul_(2)
        ctx.mark_dirty(x)
        return x * 1

    say.attempt(lambda: make(torch, not_returned, lambda ctx, g: g).apply(a.clone()))

    def not_an_input(ctx, x):
        y = x * 2
        ctx.mark_dirty(y)
        return y

    say.attempt(lambda: make(torch, not_an_input, lambda ctx, g: g, name="F").apply(a.clone()))

    def two_outputs(ctx, x):
        x.mul_(2)
        ctx.mark_dirty(x)
        return x, x * 2

    say.attempt(lambda: make(torch, two_outputs, lambda ctx, g, h: g).apply(a.clone()[:2]))


@scenario
def outputs_without_gradients(torch, say):
    seen = []

    def forward(ctx, x):
        y = x * 2
        ctx.mark_non_differentiable(y)
        return x * 1, y, x > 1, (x > 1).long()

    function = make(torch, forward, lambda ctx, *grads: seen.append(grads) or grads[0], name="F")
    a = leaf(torch)
    outputs = function.apply(a)
    say([o.requires_grad for o in outputs])
    outputs[0].sum().backward()
    say(seen)

    def input_itself(ctx, x):
        ctx.mark_non_differentiable(x)
        return x

    itself = make(torch, input_itself, lambda ctx, g: g)
    for x in (a, a.clone()):
        y = itself.apply(x)
        say(y is x, y.requires_grad, y._is_view())


@scenario
def gradients_that_do_not_arrive(torch, say):
    seen = []

    def forward(ctx, x):
        ctx.set_materialize_grads(False)
        return x * 1, x * 2

    a = leaf(torch)
    function = make(torch, forward, lambda ctx, *grads: seen.append(grads) or grads[1])
    function.apply(a)[1].sum().backward()
    say(seen, a.grad)
    function = make(torch, lambda ctx, x: (x * 1, x * 2), lambda ctx, *grads: seen.append(grads) or grads[1])
    function.apply(a)[1].sum().backward()
    say(seen[-1], a.grad)


@scenario
def none_for_a_gradient(torch, say):
    seen = []
    multiply = make(torch, lambda ctx, x, y: x * y, lambda ctx, g: (g, None))
    shift = make(torch, lambda ctx, x: x * 1, lambda ctx, g: seen.append(g) or g + 1)
    w, u = leaf(torch), leaf(torch)
    multiply.apply(w, shift.apply(u * 2)).sum().backward()
    say(seen, w.grad, u.grad)

    def forward(ctx, x):
        ctx.set_materialize_grads(False)
        return x * 1

    u.grad = None
    nothing = make(torch, forward, lambda ctx, g: None)
    nothing.apply(u.exp()).sum().backward()
    say(u.grad)
    (nothing.apply(u.exp()) + u).sum().backward()
    say(u.grad)


@scenario
def what_can_be_saved(torch, say):
    def saving(choose):
        def forward(ctx, x):
            ctx.save_for_backward(choose(x))
            return x * 1

        return make(torch, forward, lambda ctx, g: say(ctx.saved_tensors) or g)

    a = leaf(torch)
    for choose in (lambda x: 3, lambda x: [x], lambda x: None, lambda x: x, lambda x: x * 2):
        say.attempt(lambda choose=choose: saving(choose).apply(a).sum().backward())

    def by_attribute(ctx, x):
        ctx.to_save = [x]
        return x * 1

    say.attempt(lambda: make(torch, by_attribute, lambda ctx, g: g).apply(a))

    def twice(ctx, x):
        ctx.save_for_backward(x)
        ctx.save_for_backward(x * 2)
        return x * 1

    make(torch, twice, lambda ctx, g: say(ctx.saved_tensors) or g).apply(a).sum().backward()
    say.attempt(lambda: torch.autograd.function.FunctionCtx().save_for_forward(3))


@scenario
def saved_tensors_that_were_written_to(torch, say):
    def forward(ctx, x):
        y = x.exp()
        ctx.save_for_backward(x, y)
        return y

    function = make(torch, forward, lambda ctx, g: g * ctx.saved_tensors[1], name="F")
    b = leaf(torch).clone()
    y = function.apply(b)
    y.mul_(2)
    say.attempt(lambda: y.sum().backward())
    c = b.clone()
    y = function.apply(c)
    c.mul_(2)
    say.attempt(lambda: y.sum().backward())
    a = leaf(torch)
    y = function.apply(a)
    with torch.no_grad():
        a.mul_(2)
    say.attempt(lambda: y.sum().backward())


@scenario
def saved_tensors_let_go_of(torch, say):
    def forward(ctx, x):
        ctx.save_for_backward(x)
        return x * 2

    def backward(ctx, g):
        say(ctx.saved_tensors)
        say.attempt(lambda: ctx.saved_tensors)
        return g * 2

    make(torch, forward, backward, clear_saved_tensors_on_access=True).apply(leaf(torch)).sum().backward()
    boxed = make(torch, forward, lambda ctx, grads: say(type(grads), grads) or grads.pop(), boxed_grads_call=True)
    boxed.apply(leaf(torch)).sum().backward()


@scenario
def a_separate_context(torch, say):
    def forward(x, y=2):
        return x * y

    def setup_context(ctx, inputs, output):
        say(len(inputs), inputs[1:], output.requires_grad, inputs[0] is a)
        ctx.y = inputs[1]

    a = leaf(torch)
    function = make(torch, forward, lambda ctx, g: (g * ctx.y, None), name="F", setup_context=setup_context)
    say.attempt(lambda: function.apply(a))
    say.attempt(lambda: function.apply(a, y=3).sum().backward())
    say(a.grad)
    say.attempt(lambda: function.apply())
    say(torch.autograd.function._is_setup_context_defined(function.setup_context))


@scenario
def double_backward(torch, say):
    def forward(ctx, x):
        ctx.save_for_backward(x)
        return x**3

    def backward(ctx, g):
        (x,) = ctx.saved_tensors
        return g * 3 * x**2

    function = make(torch, forward, backward)
    a = leaf(torch)
    (g,) = torch.autograd.grad(function.apply(a).sum(), a, create_graph=True)
    (h,) = torch.autograd.grad(g.sum(), a, create_graph=True)
    say(g, h, torch.autograd.grad(h.sum(), a))

    def forward_saving_result(ctx, x):
        y = x.exp()
        ctx.save_for_backward(y)
        return y

    exp = make(torch, forward_saving_result, lambda ctx, g: g * ctx.saved_tensors[0])
    b = leaf(torch).clone()
    (g,) = torch.autograd.grad(exp.apply(b).sum(), b, create_graph=True)
    say(g.requires_grad, torch.autograd.grad(g.sum(), b))


@scenario
def once_differentiable(torch, say):
    from_module = torch.autograd.function.once_differentiable
    function = make(torch, lambda ctx, x: x * 2, from_module(lambda ctx, g: g * 2))
    a = leaf(torch)
    (g,) = torch.autograd.grad(function.apply(a).sum(), a, create_graph=True)
    say(g, g.requires_grad)
    y = function.apply(a)
    (g,) = torch.autograd.grad((y * y).sum(), a, create_graph=True)
    say(g, g.grad_fn, g.grad_fn.name(), g.grad_fn.next_functions)
    say.attempt(lambda: g.sum().backward())


@scenario
def attributes_of_the_context_are_the_programs_own(torch, say):
    names = (
        "edges",
        "inputs",
        "saved",
        "versions",
        "instance",
        "residuals",
        "n_out",
        "release",
        "out_specs",
        "args",
        "state",
    )

    def forward(ctx, x):
        for i, name in enumerate(names):
            setattr(ctx, name, i)
        return x * 2

    def backward(ctx, g):
        say([getattr(ctx, name) for name in names])
        return g * 2

    a = leaf(torch)
    make(torch, forward, backward).apply(a * 1).sum().backward()
    say(a.grad)


@scenario
def hooks_on_a_function(torch, say):
    function = make(torch, lambda ctx, x, n: x * n, lambda ctx, g: (g * 2, None), name="F")
    a = leaf(torch)
    y = function.apply(a, 2)
    y.register_hook(lambda g: say("tensor", g))
    y.grad_fn.register_hook(lambda *grads: say("after", grads))
    y.grad_fn.register_prehook(lambda grads: say("before", grads))
    y.sum().backward()
    y = function.apply(a, 2)
    y.grad_fn.register_hook(lambda inputs, outputs: (inputs[0] * 10,))
    a.grad = None
    y.sum().backward()
    say(a.grad)


@scenario
def functions_of_integers_and_of_nothing(torch, say):
    function = make(torch, lambda ctx, x: x * 2, lambda ctx, g: g, name="F")
    say(function.apply(torch.tensor([1, 2])).requires_grad, function.apply(3))
    sums = make(torch, lambda ctx, *xs: sum(xs), lambda ctx, g: (g, g, g), name="F")
    a, b = leaf(torch), leaf(torch)
    sums.apply(a, torch.ones(3), b).sum().backward()
    say(a.grad, b.grad)
    listed = make(torch, lambda ctx, xs: xs[0] * 2, lambda ctx, g: None, name="F")
    say(listed.apply([a, b]).requires_grad)


@pytest.mark.parametrize("program", scenario, ids=scenario.names())
def test_transcripts(program):
    compare(program)
