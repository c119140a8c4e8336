"""`torch.autograd.graph`, anomaly detection and the profiler agree with native PyTorch."""

import importlib
import json

import pytest

native = pytest.importorskip("torch")

from transcript import Scenarios, compare  # noqa: E402

import torchlike  # noqa: E402

scenario = Scenarios()


def leaf(torch, *values):
    return torch.tensor(values or (0.5, 1.0, 2.0), requires_grad=True)


# Edges.


@scenario
def gradient_edges(torch, say):
    graph = torch.autograd.graph
    x = leaf(torch)
    say.attempt(lambda: graph.get_gradient_edge(torch.ones(1)))
    edge = graph.get_gradient_edge(x)
    say(edge, edge.node is graph.get_gradient_edge(x).node, edge._fields)
    say(torch.autograd.grad((x * 2).sum(), edge))
    y = x * 2
    say(graph.get_gradient_edge(y))
    say(torch.autograd.grad((y * y).sum(), graph.get_gradient_edge(y)))
    say(torch.autograd.grad(graph.get_gradient_edge((x * 2).sum()), x))
    say(torch.autograd.grad(graph.get_gradient_edge(x * 2), x, torch.ones(3)))
    say.attempt(lambda: torch.autograd.grad(graph.get_gradient_edge(x * 2), x))
    say.attempt(lambda: torch.autograd.grad(graph.get_gradient_edge(x * 2), x, torch.ones(2)))
    say.attempt(lambda: torch.autograd.grad(x.sum(), graph.get_gradient_edge(x * 2), materialize_grads=True))
    say.attempt(lambda: torch.autograd.grad(graph.get_gradient_edge(x * 2), x, torch.ones(2, 3), is_grads_batched=True))
    (x * 3).sum().backward(inputs=edge)
    say(x.grad)
    torch.autograd.backward(graph.get_gradient_edge((x * 3).sum()))
    say(x.grad)


@scenario
def an_edge_keeps_a_functions_graph(torch, say):
    class Double(torch.autograd.Function):
        @staticmethod
        def forward(ctx, x):
            return x * 2

        @staticmethod
        def backward(ctx, g):
            return g * 2

    x = leaf(torch)
    edge = torch.autograd.graph.get_gradient_edge(Double.apply(x))
    say(edge)
    say(torch.autograd.grad(edge, x, torch.ones(3)))


@scenario
def versions(torch, say):
    graph = torch.autograd.graph
    x = torch.ones(2)
    graph.increment_version(x)
    graph.increment_version([x, x])
    say(x._version)
    say.attempt(lambda: graph.increment_version(3))
    say.attempt(lambda: graph.increment_version([3]))


# Hooks on saved tensors.


@scenario
def packing_and_unpacking(torch, say):
    packed = []

    def pack(t):
        packed.append((tuple(t.shape), t.requires_grad, str(t.grad_fn).split()[0], torch.is_grad_enabled()))
        return t * 1

    def unpack(t):
        say("unpacking", torch.is_grad_enabled())
        return t

    x = leaf(torch)
    y = x * 2
    for function in (
        lambda: x * y, lambda: x * x, lambda: y**2, lambda: y.exp(), lambda: y.sin(), lambda: x + y, lambda: y * 3, lambda: y / 2,
        lambda: torch.mm(x.view(1, 3), y.view(3, 1)), lambda: x / y, lambda: y.log(), lambda: y.softmax(0), lambda: y.relu(),
        lambda: y.abs(), lambda: y.sum(), lambda: y.view(3, 1), lambda: y.sum().exp(),
    ):  # fmt: skip
        packed.clear()
        with torch.autograd.graph.saved_tensors_hooks(pack, lambda t: t):
            z = function()
        (g,) = torch.autograd.grad(z.reshape(-1)[0], x, retain_graph=True)
        say(packed, g)
    with torch.autograd.graph.saved_tensors_hooks(lambda t: t, unpack):
        z = x.sin()
    z.sum().backward(retain_graph=True)
    (g,) = torch.autograd.grad(z.sum(), x, create_graph=True)
    say(g)
    say(torch.autograd.grad(g.sum(), x))


@scenario
def what_hooks_may_not_do(torch, say):
    hooks = torch.autograd.graph.saved_tensors_hooks
    x = leaf(torch)

    def run(pack, unpack):
        with hooks(pack, unpack):
            y = x.clone().sin()
        y.sum().backward()

    for unpack in (lambda t: None, lambda t: 1):
        say.attempt(lambda unpack=unpack: run(lambda t: t, unpack))
    say.attempt(lambda: run(lambda t: t.mul_(2), lambda t: t))
    say.attempt(lambda: hooks(1, 2).__enter__())
    say.attempt(lambda: x.sin())

    def failing(t):
        raise ValueError("packing")

    say.attempt(lambda: run(failing, lambda t: t))
    say.attempt(lambda: x.sin().sum().backward())


@scenario
def hooks_inside_of_hooks(torch, say):
    hooks = torch.autograd.graph.saved_tensors_hooks
    x = leaf(torch)
    with hooks(lambda t: say("outer") or t, lambda t: t):
        x.sin()
        with hooks(lambda t: say("inner") or t, lambda t: t):
            x.sin()
        x.sin()
    x.sin()


@scenario
def hooked_tensors_may_be_written_to(torch, say):
    x = leaf(torch)
    h = x * 1
    with torch.autograd.graph.saved_tensors_hooks(lambda t: t.clone(), lambda t: t):
        y = h.sin()
    h.zero_()
    y.sum().backward()
    say(x.grad)
    say.attempt(lambda: y.sum().backward())


@scenario
def hooks_and_functions(torch, say):
    class Square(torch.autograd.Function):
        @staticmethod
        def forward(ctx, x):
            y = x * x
            ctx.save_for_backward(x, None, y)
            return y

        @staticmethod
        def backward(ctx, g):
            x, nothing, y = ctx.saved_tensors
            say(x.requires_grad, nothing, y.requires_grad, y.grad_fn is not None)
            return 2 * x * g

    packed = []
    x = leaf(torch)
    with torch.autograd.graph.saved_tensors_hooks(lambda t: packed.append(t.shape) or t.detach(), lambda t: t):
        y = Square.apply(x * 1)
    y.sum().backward()
    say(len(packed), x.grad)


@scenario
def saving_on_the_host(torch, say):
    x = leaf(torch)
    with torch.autograd.graph.save_on_cpu():
        y = x.sin() * x
    with torch.autograd.graph.save_on_cpu(pin_memory=False, device_type="cuda"):
        y = y.exp()
    y.sum().backward()
    say(x.grad)


@scenario
def hooks_that_are_disabled(torch, say):
    graph = torch.autograd.graph
    x = leaf(torch)
    with graph.disable_saved_tensors_hooks("none, please"):
        say.attempt(lambda: graph.save_on_cpu().__enter__())
        with graph.disable_saved_tensors_hooks("none here either"):
            say.attempt(lambda: graph.save_on_cpu().__enter__())
        say.attempt(lambda: graph.save_on_cpu().__enter__())
    with graph.save_on_cpu():
        say.attempt(lambda: graph.disable_saved_tensors_hooks("too late").__enter__())
        x.sin().sum().backward()
    say(x.grad)


@scenario
def saved_tensors_of_a_node(torch, say):
    x = leaf(torch)
    y = x * 2
    z = x * y
    say(z.grad_fn._saved_self, z.grad_fn._saved_other)
    say(y.exp().grad_fn._saved_result, x.sum(0).grad_fn.__class__, x.sin().grad_fn._saved_self)
    say.attempt(lambda: z.grad_fn._saved_nothing)
    z.grad_fn._raw_saved_self.register_hooks(lambda t: say("packing", t) or t * 1, lambda t: say("unpacking") or t)
    say.attempt(lambda: z.grad_fn._raw_saved_self.register_hooks(lambda t: t, lambda t: t))
    z.sum().backward()
    say(x.grad)
    say.attempt(lambda: z.grad_fn._saved_self)
    say.attempt(lambda: z.grad_fn._raw_saved_self.register_hooks(lambda t: t, lambda t: t))


@scenario
def writes_that_are_allowed(torch, say):
    graph = torch.autograd.graph
    with graph.allow_mutation_on_saved_tensors() as context:
        x = torch.ones(2, 3, requires_grad=True)
        h = x.clone()
        y = (h**2).sum()
        h.sin_()
        say(len(context.cloned), len(context.original), h)
        y.backward()
        say(x.grad)
        x.grad = None
        h = x.clone() * 2
        y = (h * h).exp().sum()
        h[0] = 5
        y.backward()
        say(x.grad)
        h = x.clone()
        y = (h**2).sum()
        h.sin_()
    say.attempt(lambda: y.backward())

    def nested():
        with graph.allow_mutation_on_saved_tensors(), graph.allow_mutation_on_saved_tensors():
            pass

    say.attempt(nested)
    with graph.allow_mutation_on_saved_tensors():
        say(True)


@scenario
def settings_of_other_machines(torch, say):
    graph = torch.autograd.graph
    say(graph.set_warn_on_accumulate_grad_stream_mismatch(True), graph.set_override_stale_capture_stream(False))
    for budget in ("a", 2.0, 0.5):
        say.attempt(lambda budget=budget: graph.region_activation_memory_budget(budget))
    say(sorted(graph.__all__))


# Hooks on several tensors.


@scenario
def hooks_on_several_gradients(torch, say):
    register = torch.autograd.graph.register_multi_grad_hook
    a, b = leaf(torch), leaf(torch)
    c, d = a * b, a * b
    handle = register((a, b, c, d), lambda grads: say([None if g is None else g.tolist() for g in grads]))
    c.sum().backward(retain_graph=True)
    c.sum().backward(inputs=(a,), retain_graph=True)
    (c + d).sum().backward(retain_graph=True)
    handle.remove()
    c.sum().backward(retain_graph=True)
    handle = register((a, c), lambda grad: say("any", grad), mode="any")
    c.sum().backward(retain_graph=True)
    c.sum().backward(retain_graph=True)
    handle.remove()
    c.sum().backward(retain_graph=True)
    say.attempt(lambda: register([a], print, mode="x"))
    say.attempt(lambda: register([torch.ones(1)], print))
    say(type(register([torch.ones(1)], print, mode="any")))


# Anomalies.


def _anomalies(torch, say, function):
    with torch.autograd.detect_anomaly():
        say.attempt(function)


@scenario
def nan_in_a_gradient(torch, say):
    def forward_and_backward():
        x = torch.tensor([-1.0], requires_grad=True)
        (x.sqrt() * 1).sum().backward()

    _anomalies(torch, say, forward_and_backward)
    x = torch.tensor([-1.0], requires_grad=True)
    y = x.sqrt()
    _anomalies(torch, say, lambda: y.sum().backward())
    a, b = torch.tensor([1.0], requires_grad=True), torch.tensor([0.0], requires_grad=True)
    _anomalies(torch, say, lambda: ((b * 0) / b).sum().backward())
    _anomalies(torch, say, lambda: torch.autograd.grad((a * torch.tensor([float("inf")]) * 0).sum(), a))
    forward_and_backward()


@scenario
def where_an_anomaly_came_from(torch, say):
    def made_here():
        return torch.tensor([-1.0], requires_grad=True).sqrt()

    with torch.autograd.detect_anomaly():
        y = made_here()
        say(list(y.grad_fn.metadata), [line.split("in ", 1)[-1] for line in y.grad_fn.metadata["traceback_"]][-2:])
    say(made_here().grad_fn.metadata)


@scenario
def errors_in_a_backward(torch, say):
    class Failing(torch.autograd.Function):
        @staticmethod
        def forward(ctx, x):
            return x.clone()

        @staticmethod
        def backward(ctx, g):
            raise RuntimeError("failing here")

    x = leaf(torch)
    y = Failing.apply(x)
    _anomalies(torch, say, lambda: y.sum().backward())


@scenario
def anomalies_in_second_derivatives(torch, say):
    x = torch.tensor([0.0], requires_grad=True)
    (g,) = torch.autograd.grad((x**1.5).sum(), x, create_graph=True)
    _anomalies(torch, say, lambda: torch.autograd.grad(g.sum() * 0 + g.sqrt().sum(), x))


@scenario
def switching_detection(torch, say):
    say(torch.is_anomaly_enabled(), torch.is_anomaly_check_nan_enabled())
    with torch.autograd.detect_anomaly(check_nan=False):
        say(torch.is_anomaly_enabled(), torch.is_anomaly_check_nan_enabled())
        x = torch.tensor([-1.0], requires_grad=True)
        say.attempt(lambda: x.sqrt().sum().backward())
        with torch.autograd.set_detect_anomaly(False):
            say(torch.is_anomaly_enabled())
        say(torch.is_anomaly_enabled())
    torch.autograd.set_detect_anomaly(True)
    say(torch.is_anomaly_enabled())
    torch.autograd.set_detect_anomaly(False)
    say(torch.is_anomaly_enabled())


@scenario
def the_hint_while_detection_is_on(torch, say):
    x = leaf(torch)
    y = x.exp()
    y.add_(1)
    _anomalies(torch, say, lambda: y.sum().backward())


def _without_places(lines):
    """A transcript without the lines of tracebacks, which name the files of each library."""
    return ["\n".join(part for part in line.split("\n") if not part.startswith("  ")) for line in lines]


@pytest.mark.parametrize("program", scenario, ids=scenario.names())
def test_transcripts(program):
    compare(program, neutral=_without_places)


def test_the_warning_of_a_cycle():
    import warnings

    from torchlike import autograd

    native.set_warn_always(True)
    autograd._warned_of_cycle = False
    texts = []
    for torch in (native, torchlike):
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            (leaf(torch) ** 2).sum().backward(create_graph=True)
        texts += [str(w.message).split(" (Triggered")[0] for w in caught if "create_graph=True" in str(w.message)]
    native.set_warn_always(False)
    assert len(texts) == 2 and texts[0] == texts[1]


# The profiler measures, so that only the form of what it says can be compared.


def _profiled(torch, **options):
    profiler = importlib.import_module(f"{torch.__name__}.autograd.profiler")
    x = torch.ones(4, 4, requires_grad=True)
    with profiler.profile(**options) as result, profiler.record_function("block"):
        x.mm(x).relu().sum().backward()
    return result


def test_a_profile_has_the_operations_and_blocks_of_native():
    ours, theirs = ({e.key for e in _profiled(torch).key_averages()} for torch in (torchlike, native))
    assert {"block", "aten::mm", "aten::relu", "aten::sum"} <= ours & theirs
    assert {"autograd::engine::evaluate_function: MmBackward0"} <= ours & theirs


def test_times_add_up():
    result = _profiled(torchlike)
    block = next(e for e in result.function_events if e.name == "block")
    assert block.cpu_time_total > 0 and block.cpu_parent is None
    assert all(e.cpu_time_total <= block.cpu_time_total for e in result.function_events)
    assert sum(e.self_cpu_time_total for e in result.function_events) == pytest.approx(block.cpu_time_total)
    assert result.self_cpu_time_total == pytest.approx(block.cpu_time_total)
    average = next(e for e in result.key_averages() if e.key == "aten::mm")
    assert average.count == 1 and average.cpu_time == average.cpu_time_total > 0


def test_tables_have_the_form_of_native():
    for options in ({}, {"record_shapes": True}):
        headings = []
        for torch in (torchlike, native):
            table = (
                _profiled(torch, **options)
                .key_averages(group_by_input_shape=bool(options))
                .table(sort_by="cpu_time_total", row_limit=3, header="HEADER", max_name_column_width=40)
            )
            lines = table.split("\n")
            headings.append((lines[1], lines[3].split(), len(lines), lines[-2].split(":")[0]))
        assert headings[0] == headings[1]


def test_a_profile_can_be_exported(tmp_path):
    result = _profiled(torchlike, with_stack=True)
    result.export_chrome_trace(tmp_path / "trace.json")
    events = json.loads((tmp_path / "trace.json").read_text())
    assert "aten::mm" in {event["name"] for event in events}
    result.export_stacks(tmp_path / "stacks", "self_cpu_time_total")
    assert "test_autograd_graph" in (tmp_path / "stacks").read_text()


def test_profiles_that_are_off_and_misused():
    for torch in (torchlike, native):
        profiler = importlib.import_module(f"{torch.__name__}.autograd.profiler")
        with profiler.profile(enabled=False) as off:
            assert off is None
        assert [profiler.record_function("deco")(lambda: 3)() for _ in range(2)] == [3, 3]
    with torchlike.autograd.profiler.profile() as outer:
        with pytest.raises(RuntimeError, match="Profiler context manager is not reentrant"):
            outer.__enter__()
        with pytest.raises(RuntimeError, match="Profiler is already enabled"):
            torchlike.autograd.profiler.profile().__enter__()
    assert repr(torchlike.autograd.profiler.profile()) == "<unfinished torch.autograd.profile>"
