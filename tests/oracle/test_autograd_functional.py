"""`torch.autograd.functional`, `gradcheck` and forward mode agree with native PyTorch."""

import importlib

import pytest

pytest.importorskip("torch")

from transcript import Scenarios, compare

scenario = Scenarios()


def point(torch):
    return torch.tensor([[1.0, 2.0], [3.0, 4.0]]), torch.tensor([0.5, 0.25])


def rows(a):
    return a.exp().sum(1)


def several(a, b):
    return a @ b, (a * a).sum()


def cubes(a):
    return (a**3).sum()


def both(a, b):
    return ((a @ b) ** 2).sum()


def only_first(a, b):
    return (2 * a.pow(2)).sum()


def linear(a):
    return a.sum()


def constant(a):
    return a.detach() * 0 + 1


def detached(a, b):
    return a.detach()


def numbers(result):
    """Results without what depends on how gradients of gradients are computed: the names of their nodes."""
    if isinstance(result, (tuple, list)):
        return [numbers(item) for item in result]
    return result.requires_grad, result.detach()


@scenario
def products(torch, say):
    f = torch.autograd.functional
    x, y = point(torch)
    v = torch.tensor([1.0, 10.0])
    for create_graph in (False, True):
        for name, function, inputs, vector in (
            ("vjp", rows, x, v),
            ("vjp", several, (x, y), (v, torch.tensor(1.0))),
            ("vjp", linear, x, None),
            ("jvp", rows, x, x),
            ("jvp", several, (x, y), (x, y)),
            ("vhp", cubes, x, x),
            ("hvp", cubes, x, x),
            ("vhp", both, (x, y), (x, y)),
            ("hvp", both, (x, y), (x, y)),
            ("hvp", only_first, (x, y), (x, y)),
            ("vjp", constant, x, x),
            ("jvp", constant, x, x),
        ):
            say(name, function.__name__, numbers(getattr(f, name)(function, inputs, vector, create_graph=create_graph)))


@scenario
def matrices(torch, say):
    f = torch.autograd.functional
    x, y = point(torch)
    for options in ({}, {"vectorize": True}, {"create_graph": True}, {"create_graph": True, "vectorize": True}):
        for name, function, inputs in (
            ("jacobian", rows, x),
            ("jacobian", several, (x, y)),
            ("jacobian", only_first, (x, y)),
            ("jacobian", constant, x),
            ("hessian", cubes, x),
            ("hessian", both, (x, y)),
            ("hessian", only_first, (x, y)),
        ):
            say(name, function.__name__, numbers(getattr(f, name)(function, inputs, **options)))


@scenario
def strictness(torch, say):
    f = torch.autograd.functional
    x, y = point(torch)
    for create_graph in (False, True):
        for function, inputs in ((only_first, (x, y)), (detached, (x, y)), (linear, x), (cubes, x)):
            for name in ("vjp", "jvp", "vhp", "hvp", "jacobian", "hessian"):
                vector = () if name in ("jacobian", "hessian") else (None if name == "vjp" else inputs,)

                def call(name=name, function=function, inputs=inputs, vector=vector, graph=create_graph):
                    options = {"strict": True, "create_graph": graph}
                    return numbers(getattr(f, name)(function, inputs, *vector, **options))

                say(name, function.__name__)
                say.attempt(call)


@scenario
def arguments(torch, say):
    f = torch.autograd.functional
    x, y = point(torch)
    v = torch.tensor([1.0, 10.0])
    for call in (
        lambda: f.vjp(rows, 3, v), lambda: f.vjp(rows, (x, 3), v), lambda: f.vjp(lambda a: 3, x, v),
        lambda: f.vjp(lambda a: (a, 3), x, v), lambda: f.vjp(rows, x, 3), lambda: f.vjp(rows, x), lambda: f.jvp(rows, x),
        lambda: f.vhp(cubes, x), lambda: f.hvp(cubes, x), lambda: f.vjp(rows, x, (v, v)), lambda: f.vjp(several, (x, y), (v,)),
        lambda: f.vjp(rows, x, x), lambda: f.vjp(several, (x, y), (v, v)), lambda: f.vhp(rows, x, x),
        lambda: f.vhp(several, (x, y), (x, y)), lambda: f.hvp(rows, x, x), lambda: f.hessian(rows, x),
        lambda: f.hessian(several, (x, y)), lambda: f.jacobian(rows, x, strategy="a"),
        lambda: f.hessian(cubes, x, outer_jacobian_strategy="a"), lambda: f.jacobian(rows, x, strict=True, vectorize=True),
        lambda: f.jacobian(rows, x, strategy="forward-mode", create_graph=True),
        lambda: f.jacobian(rows, x, strategy="forward-mode", strict=True), lambda: f.jacobian(rows, x, strategy="forward-mode"),
        lambda: f.jacobian(lambda a: [a], x), lambda: f.jacobian(rows, [x]),
    ):  # fmt: skip
        say.attempt(call)


@scenario
def results_can_be_differentiated(torch, say):
    f = torch.autograd.functional
    x = point(torch)[0].requires_grad_()
    f.jacobian(lambda a: a**3, x, create_graph=True).sum().backward()
    say(x.grad)
    value, gradient = f.vjp(lambda a: (a**3).sum(), x, create_graph=True)
    say(value.requires_grad, torch.autograd.grad(gradient.sum(), x))
    hessian = f.hessian(lambda a: (a**4).sum(), x, create_graph=True)
    say(torch.autograd.grad(hessian.sum(), x))
    with torch.no_grad():
        say(f.jacobian(rows, x), f.hvp(cubes, x, x))


@scenario
def jacobians_in_forward_mode(torch, say):
    f = torch.autograd.functional
    x, y = point(torch)
    options = {"strategy": "forward-mode", "vectorize": True}
    say(f.jacobian(rows, x, **options))
    say(f.jacobian(several, (x, y), **options))
    say(f.hessian(cubes, x, outer_jacobian_strategy="forward-mode", vectorize=True).detach())


# gradcheck.


def doubles(torch, *shape):
    n = 1
    for size in shape:
        n *= size
    return torch.arange(1, 1 + n, dtype=torch.double).reshape(shape).div(7).requires_grad_()


@scenario
def gradients_that_are_right(torch, say):
    check, check_again = torch.autograd.gradcheck, torch.autograd.gradgradcheck
    x, y, z = doubles(torch, 2, 3), doubles(torch, 3, 2), doubles(torch, 3)
    for fast_mode in (False, True):
        for function, inputs in (
            (torch.sin, (x,)),
            (torch.mm, (x, y)),
            (lambda t: t.softmax(1), (x,)),
            (lambda a, b: (a * b.t(), (a + 1).log().sum()), (x, y)),
            (lambda t: t.prod(1), (x,)),
            (lambda t: t[0, 1:] * t[1, :2], (x,)),
            (lambda t: t.std(), (x,)),
            (lambda a, b: torch.cat([a, b.t()]), (x, y)),
            (lambda t: t.norm(), (x,)),
            (lambda t: torch.where(t > 0.5, t, t * t), (x,)),
            (lambda t: t.cumsum(1), (x,)),
            (lambda t, w: torch.nn.functional.layer_norm(t, (3,), w), (x, z)),
            (lambda t: t.detach() * 2, (z,)),
            (lambda t: t > 0.2, (z,)),
        ):
            say.attempt(lambda f=function, i=inputs, m=fast_mode: check(f, i, fast_mode=m))
        for function, inputs in (
            (torch.sin, (x,)),
            (torch.mm, (x, y)),
            (lambda t: t.softmax(1), (x,)),
            (torch.mul, (z, doubles(torch, 3))),
        ):
            say.attempt(lambda f=function, i=inputs, m=fast_mode: check_again(f, i, fast_mode=m))


@scenario
def gradients_of_complex_functions(torch, say):
    check, check_again = torch.autograd.gradcheck, torch.autograd.gradgradcheck
    c = torch.tensor([1 + 2j, 0.5 - 1j], dtype=torch.cdouble, requires_grad=True)
    for fast_mode in (False, True):
        for function in (
            lambda t: t * t, lambda t: t.conj() * t, lambda t: t.abs(), lambda t: (t * t).real, torch.view_as_real, torch.exp,
        ):  # fmt: skip
            say.attempt(lambda f=function, m=fast_mode: check(f, c, fast_mode=m))
        say.attempt(lambda m=fast_mode: check_again(lambda t: t * t, c, fast_mode=m))


def wrong(torch, forward, backward, name="Wrong"):
    members = {"forward": staticmethod(forward), "backward": staticmethod(backward)}
    return type(name, (torch.autograd.Function,), members).apply


@scenario
def gradients_that_are_wrong(torch, say):
    check = torch.autograd.gradcheck
    z = doubles(torch, 3)
    c = torch.tensor([1 + 2j, 0.5 - 1j], dtype=torch.cdouble, requires_grad=True)
    thrice = wrong(torch, lambda ctx, x: x * 2, lambda ctx, g: g * 3)
    say.attempt(lambda: check(thrice, z))
    say.attempt(lambda: check(thrice, z, raise_exception=False))
    say.attempt(lambda: check(wrong(torch, lambda ctx, x: x * 2, lambda ctx, g: g * 2 + 1), z))
    say.attempt(lambda: check(wrong(torch, lambda ctx, x: x * 2, lambda ctx, g: torch.full_like(g, 2.0)), z[:1]))
    say.attempt(lambda: check(wrong(torch, lambda ctx, x: x * 2j, lambda ctx, g: g * 3), c))
    say.attempt(lambda: check(thrice, c))
    runs = [0]

    def unsteady(ctx, g):
        runs[0] += 1
        return g * 2 + runs[0] * 1e-7 * g

    say.attempt(lambda: check(wrong(torch, lambda ctx, x: x * 2, unsteady), z))
    say.attempt(lambda: check(wrong(torch, lambda ctx, x: x * 2, unsteady), z, nondet_tol=1))
    single = wrong(torch, lambda ctx, x: x * 1, lambda ctx, g: g.float())
    say.attempt(lambda: check(single, z, check_grad_dtypes=True))
    try:
        check(thrice, z, fast_mode=True)
    except RuntimeError as error:  # random vectors: the numbers differ
        say(type(error), str(error).split("\n")[0], str(error).split("jacobians in slow mode:")[1])


@scenario
def gradients_that_do_not_arrive(torch, say):
    def forward(ctx, x):
        ctx.set_materialize_grads(False)
        return x * 2

    say.attempt(lambda: torch.autograd.gradcheck(wrong(torch, forward, lambda ctx, g: g * 2), doubles(torch, 3)))
    careful = wrong(torch, forward, lambda ctx, g: None if g is None else g * 2)
    say.attempt(lambda: torch.autograd.gradcheck(careful, doubles(torch, 3)))
    say.attempt(lambda: torch.autograd.gradcheck(lambda t: (careful(t), t * 3), doubles(torch, 3)))


@scenario
def points_that_cannot_be_checked(torch, say):
    check = torch.autograd.gradcheck
    z = doubles(torch, 3)
    say.attempt(lambda: check(torch.sin, torch.ones(3)))
    say.attempt(lambda: check(lambda t: t, doubles(torch, 1).detach().requires_grad_().expand(3)))
    say.attempt(lambda: check(torch.sin, torch.ones(3, requires_grad=True)))
    say.attempt(lambda: check(lambda t: t * 1, z, check_backward_ad=False))
    say.attempt(lambda: check(torch.sin, z, check_batched_forward_grad=True))
    say.attempt(lambda: torch.autograd.gradgradcheck(torch.sin, z, check_rev_over_rev=False))
    say.attempt(lambda: torch.autograd.gradgradcheck(torch.sin, z, check_rev_over_rev=False, check_fwd_over_rev=True))


@scenario
def other_modes(torch, say):
    check = torch.autograd.gradcheck
    z, y = doubles(torch, 3), doubles(torch, 3)
    say.attempt(lambda: check(lambda t: t * 1, z, check_forward_ad=True))
    say.attempt(lambda: check(lambda t, u: (t * u, t.sum()), (z, y), check_forward_ad=True, check_batched_grad=True))
    say.attempt(
        lambda: check(lambda t, u: t * u, (z, y), check_forward_ad=True, check_backward_ad=False, fast_mode=True)
    )
    say.attempt(
        lambda: torch.autograd.gradgradcheck(torch.sin, z, torch.ones(3, dtype=torch.double, requires_grad=True))
    )
    say.attempt(
        lambda: torch.autograd.gradgradcheck(torch.sin, z, gen_non_contig_grad_outputs=True, check_batched_grad=True)
    )
    module = importlib.import_module(f"{torch.__name__}.autograd.gradcheck")
    say(issubclass(module.GradcheckError, RuntimeError), module.GradcheckError)
    say(module.get_numerical_jacobian(lambda inputs: inputs[0] * inputs[0], (z,)))
    say(module.get_analytical_jacobian((z,), z * z))


# Forward mode.


@scenario
def tangents(torch, say):
    fw = torch.autograd.forward_ad
    x, t = torch.tensor([1.0, 2.0]), torch.tensor([1.0, 0.5])
    with fw.dual_level() as level:
        say(level)
        d = fw.make_dual(x, t)
        y = (d * d).sin()
        primal, tangent = fw.unpack_dual(y)
        say(primal, tangent, primal.requires_grad, tangent.requires_grad, type(fw.unpack_dual(y)))
        say(fw.unpack_dual(x * 2), fw.unpack_dual(d).primal.data_ptr() == x.data_ptr())
        say(fw.unpack_dual(y > 0), fw.unpack_dual(y.detach()).tangent)
        for z in (y.sum(), y[0], y.view(2, 1), torch.cat([d, x]), d.exp() / d, torch.stack([d, y]).t()):
            say(fw.unpack_dual(z).tangent)
        c = torch.tensor([1 + 2j, 3.0])
        dual = fw.make_dual(c, torch.tensor([1j, 2.0]))
        say(fw.unpack_dual(dual * dual).tangent, fw.unpack_dual((dual * dual.conj()).abs()).tangent)
    say(fw.unpack_dual(y).tangent)


@scenario
def tangents_can_be_differentiated(torch, say):
    fw = torch.autograd.forward_ad
    w = torch.tensor([3.0, 4.0], requires_grad=True)
    with fw.dual_level():
        d = fw.make_dual(torch.tensor([1.0, 2.0]), torch.tensor([1.0, 0.5]))
        primal, tangent = fw.unpack_dual((d * w).prod())
        say(primal.requires_grad, tangent.requires_grad, primal.detach(), tangent.detach())
    say(torch.autograd.grad(tangent, w, retain_graph=True), torch.autograd.grad(primal, w))


@scenario
def functions_with_tangents_of_their_own(torch, say):
    fw = torch.autograd.forward_ad

    class Square(torch.autograd.Function):
        @staticmethod
        def forward(ctx, a, b):
            ctx.save_for_forward(a)
            return a * a

        @staticmethod
        def jvp(ctx, a_tangent, b_tangent):
            (a,) = ctx.saved_tensors
            say(a_tangent, b_tangent)
            return 100 * a * a_tangent

    class NoTangent(torch.autograd.Function):
        @staticmethod
        def forward(ctx, a):
            return a * a

    x = torch.tensor([1.0, 2.0])
    with fw.dual_level():
        d = fw.make_dual(x, torch.tensor([1.0, 0.5]))
        say(fw.unpack_dual(Square.apply(d, 3)).tangent.detach())
        say.attempt(lambda: NoTangent.apply(d))
        say(NoTangent.apply(x))


@scenario
def levels(torch, say):
    fw = torch.autograd.forward_ad
    x, t = torch.tensor([1.0, 2.0]), torch.tensor([1.0, 0.5])
    say.attempt(lambda: fw.make_dual(x, t))
    say.attempt(lambda: fw.unpack_dual(x))
    say.attempt(lambda: fw.exit_dual_level())
    with fw.dual_level():
        say.attempt(lambda: fw.enter_dual_level())
        say.attempt(lambda: fw.make_dual(torch.ones(2, dtype=torch.long), t))
        say.attempt(lambda: fw.make_dual(x, torch.ones(2, dtype=torch.long)))
        say.attempt(lambda: fw.make_dual(x, torch.ones(3)))
        say.attempt(lambda: fw.make_dual(x, t, level=1))
        say.attempt(lambda: fw.exit_dual_level(level=3))
    say(fw.UnpackedDualTensor._fields)


@pytest.mark.parametrize("program", scenario, ids=scenario.names())
def test_transcripts(program):
    compare(program)
