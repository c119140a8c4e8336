"""Learning rate schedules agree with native torch to the last bit, with their states, warnings and errors."""

import copy
import inspect
import math
import warnings

import pytest

torch = pytest.importorskip("torch")

from oracle import assert_same_error, outcome  # noqa: E402

import torchlike  # noqa: E402

STEPS = 100
LIBRARIES = (torch, torchlike)


def optimizer_of(library, name="SGD", lrs=(0.1, 0.03), **options):
    groups = [{"params": [library.zeros(2, requires_grad=True)], "lr": lr} for lr in lrs]
    return getattr(library.optim, name)(groups, lr=0.5, **options)


class Doubling:
    """A callable object, whose attributes are saved with a scheduler."""

    def __init__(self, base):
        self.base = base

    def __call__(self, epoch):
        return self.base**epoch


def sequential(s, o):
    members = [s.ConstantLR(o, 0.1, 5), s.ExponentialLR(o, 0.9), s.CosineAnnealingLR(o, 20)]
    return s.SequentialLR(o, members, [7, 30])


def nested(s, o):
    inner = s.SequentialLR(o, [s.LinearLR(o, 0.2, total_iters=4), s.StepLR(o, 3)], [5])
    return s.SequentialLR(o, [inner, s.PolynomialLR(o, 30, 0.7)], [20])


# A line for each scheduler: how it is made from the module and an optimizer.
SCHEDULERS = {
    "lambda": lambda s, o: s.LambdaLR(o, lambda epoch: 0.95**epoch),
    "lambdas": lambda s, o: s.LambdaLR(o, [lambda epoch: epoch // 30, Doubling(0.97)]),
    "multiplicative": lambda s, o: s.MultiplicativeLR(o, lambda epoch: 1 - 1 / (epoch + 3)),
    "step": lambda s, o: s.StepLR(o, 7, 0.3),
    "multistep": lambda s, o: s.MultiStepLR(o, [3, 20, 20, 50], 0.7),
    "constant": lambda s, o: s.ConstantLR(o),
    "constant 0": lambda s, o: s.ConstantLR(o, 0.5, 0),
    "linear": lambda s, o: s.LinearLR(o),
    "linear down": lambda s, o: s.LinearLR(o, 0.9, 0.01, 60),
    "exponential": lambda s, o: s.ExponentialLR(o, 0.93),
    "polynomial": lambda s, o: s.PolynomialLR(o, 60, 1.7),
    "cosine": lambda s, o: s.CosineAnnealingLR(o, 13, 0.002),
    "warm restarts": lambda s, o: s.CosineAnnealingWarmRestarts(o, 5, 2, 0.001),
    "warm restarts 1": lambda s, o: s.CosineAnnealingWarmRestarts(o, 9),
    "triangular": lambda s, o: s.CyclicLR(o, 0.01, 0.2, 7, 11),
    "triangular2": lambda s, o: s.CyclicLR(o, [0.01, 0.02], [0.2, 0.3], 8, mode="triangular2", base_momentum=0.5),
    "exp_range": lambda s, o: s.CyclicLR(o, 0.01, 0.2, 7, mode="exp_range", gamma=0.98, cycle_momentum=False),
    "scale_fn": lambda s, o: s.CyclicLR(o, 0.01, 0.2, 7, scale_fn=lambda x: 1 / x, scale_mode="cycle"),
    "onecycle": lambda s, o: s.OneCycleLR(o, [0.4, 0.2], 100),
    "onecycle linear": lambda s, o: s.OneCycleLR(o, 0.4, epochs=10, steps_per_epoch=11, anneal_strategy="linear"),
    "onecycle three": lambda s, o: s.OneCycleLR(o, 0.4, 101, three_phase=True, pct_start=0.2, cycle_momentum=False),
    "sequential": sequential,
    "nested": nested,
    "chained": lambda s, o: s.ChainedScheduler([s.ExponentialLR(o, 0.95), s.StepLR(o, 9, 0.5), s.ConstantLR(o)], o),
    "swa": lambda s, o: s.SWALR(o, [0.05, 0.5], 23),
    "swa linear": lambda s, o: s.SWALR(o, 0.05, 7, "linear"),
    "swa at once": lambda s, o: s.SWALR(o, 0.05, 0),
}

# Those whose learning rate at any epoch has a formula, which `step(epoch)` uses.
CLOSED = [
    name for name in SCHEDULERS if name.split()[0] in
    ("step", "multistep", "constant", "linear", "exponential", "polynomial", "cosine", "lambda", "lambdas")
]  # fmt: skip


def module_of(library, name):
    return library.optim.swa_utils if name.startswith("swa") else library.optim.lr_scheduler


def made(library, name, optimizer="SGD", **options):
    if optimizer == "SGD":
        options.setdefault("momentum", 0.9)
    optimizer = optimizer_of(library, optimizer, **options)
    return optimizer, SCHEDULERS[name](module_of(library, name), optimizer)


def observed(optimizer, scheduler):
    """What a step of a scheduler may change, with every bit."""
    options = [
        {key: value for key, value in sorted(group.items()) if key != "params"} for group in optimizer.param_groups
    ]
    return repr((scheduler.get_last_lr(), scheduler.__dict__.get("last_epoch"), options))


def trajectory(library, name, steps=STEPS, **options):
    """The states of a scheduler and its warnings: some warn when they are made, as native's do."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        optimizer, scheduler = made(library, name, **options)
        seen = [observed(optimizer, scheduler)]
        for _ in range(steps):
            optimizer.step()
            scheduler.step()
            seen.append(observed(optimizer, scheduler))
    return [*seen, *[str(w.message) for w in caught]]


@pytest.mark.parametrize("name", SCHEDULERS)
def test_trajectory(name):
    assert trajectory(torchlike, name) == trajectory(torch, name)


@pytest.mark.parametrize("name", ["triangular", "triangular2", "onecycle", "onecycle linear"])
def test_first_beta_is_cycled_where_there_is_no_momentum(name):
    assert trajectory(torchlike, name, optimizer="Adam") == trajectory(torch, name, optimizer="Adam")


@pytest.mark.parametrize("name", CLOSED)
def test_closed_form(name):
    def run(library):
        optimizer, scheduler = made(library, name)
        optimizer.step()
        seen = []
        for epoch in (3, 17, 0, 60, 99):
            with pytest.warns(UserWarning, match="The epoch parameter in") as caught:
                scheduler.step(epoch)
            seen.append((observed(optimizer, scheduler), [str(w.message) for w in caught], caught[0].filename))
        return seen

    ours = run(torchlike)
    assert ours == run(torch)
    assert ours[0][2] == __file__


def test_warm_restarts_go_to_any_epoch():
    def run(library, mult):
        optimizer = optimizer_of(library)
        scheduler = library.optim.lr_scheduler.CosineAnnealingWarmRestarts(optimizer, 4, mult)
        seen = []
        for epoch in (0, 0.25, 1.5, 3.99, 4, 11.7, None, 30, None, 2):
            scheduler.step(epoch)
            seen.append((observed(optimizer, scheduler), scheduler.T_cur, scheduler.T_i))
        return seen

    for mult in (1, 2, 3):
        assert run(torchlike, mult) == run(torch, mult)


PLATEAUS = {
    "defaults": {},
    "patience": {"patience": 2, "factor": 0.5},
    "cooldown": {"patience": 1, "cooldown": 3, "min_lr": 0.001},
    "max": {"mode": "max", "patience": 0, "threshold": 0.05},
    "abs": {"patience": 0, "threshold": 0.1, "threshold_mode": "abs", "min_lr": [0.01, 0.0]},
    "max abs": {"mode": "max", "patience": 1, "threshold": 0.1, "threshold_mode": "abs", "eps": 1e-3},
}


@pytest.mark.parametrize("name", PLATEAUS)
def test_plateau(name):
    def run(library):
        optimizer = optimizer_of(library)
        scheduler = library.optim.lr_scheduler.ReduceLROnPlateau(optimizer, **PLATEAUS[name])
        seen = []
        for i in range(STEPS):
            metric = math.cos(i / 9) + 1 / (i + 1)
            scheduler.step(library.tensor(metric) if i % 2 else metric)
            seen.append(observed(optimizer, scheduler))
        state = scheduler.state_dict()
        other = library.optim.lr_scheduler.ReduceLROnPlateau(optimizer, **PLATEAUS[name])
        other.load_state_dict(state)
        return seen, repr(state), repr(other.state_dict()), scheduler.in_cooldown

    assert run(torchlike) == run(torch)


def test_plateau_with_a_group_added_later():
    def run(library, min_lr):
        optimizer = optimizer_of(library)
        scheduler = library.optim.lr_scheduler.ReduceLROnPlateau(optimizer, patience=0, min_lr=min_lr)
        optimizer.add_param_group({"params": [library.zeros(1, requires_grad=True)], "lr": 1.0})
        for _ in range(3):
            scheduler.step(1.0)
        return repr(scheduler.get_last_lr())

    assert run(torchlike, 0.02) == run(torch, 0.02)
    _, expected = outcome(run, torch, [0.01, 0.02])
    assert_same_error(outcome(run, torchlike, [0.01, 0.02])[1], expected)


@pytest.mark.parametrize("name", SCHEDULERS)
@pytest.mark.filterwarnings("ignore:Detected call of")
def test_state_dict(name):
    def run(library):
        optimizer, scheduler = made(library, name)
        for _ in range(12):
            optimizer.step()
            scheduler.step()
        state = scheduler.state_dict()
        text = repr(sorted(state.items()))
        other_optimizer, other = made(library, name)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", FutureWarning)
            other_optimizer.load_state_dict(optimizer.state_dict())
        other.load_state_dict(state)
        other_optimizer.step()
        for _ in range(12):
            other_optimizer.step()
            other.step()
        return text, observed(other_optimizer, other)

    ours, theirs = run(torchlike), run(torch)
    if "lambda" not in name and "scale_fn" not in name:
        assert ours[0] == theirs[0]
    assert ours[1] == theirs[1]


def test_state_dict_holds_callable_objects_by_their_attributes():
    def run(library):
        s = library.optim.lr_scheduler
        saved = s.LambdaLR(optimizer_of(library), [Doubling(0.5), abs_of_epoch]).state_dict()
        loaded = s.LambdaLR(optimizer_of(library), [Doubling(0.1), abs_of_epoch])
        loaded.load_state_dict(saved)
        cyclic = s.CyclicLR(optimizer_of(library, momentum=0.9), 0.1, 0.2, scale_fn=Doubling(0.5)).state_dict()
        return saved["lr_lambdas"], loaded.lr_lambdas[0].base, cyclic["_scale_fn_custom"], sorted(saved), sorted(cyclic)

    assert run(torchlike) == run(torch)


def abs_of_epoch(epoch):
    return abs(epoch)


@pytest.mark.parametrize("name", ["step", "cosine", "onecycle", "triangular", "swa"])
def test_resumed_at_an_epoch(name):
    def run(library):
        optimizer, scheduler = made(library, name)
        for _ in range(5):
            optimizer.step()
            scheduler.step()
        constructors = {
            "step": lambda s: s.StepLR(optimizer, 7, 0.3, last_epoch=4),
            "cosine": lambda s: s.CosineAnnealingLR(optimizer, 13, 0.002, last_epoch=4),
            "onecycle": lambda s: s.OneCycleLR(optimizer, [0.4, 0.2], 100, last_epoch=4),
            "triangular": lambda s: s.CyclicLR(optimizer, 0.01, 0.2, 7, 11, last_epoch=4),
            "swa": lambda s: s.SWALR(optimizer, [0.05, 0.5], 23, last_epoch=4),
        }
        resumed = constructors[name](module_of(library, name))
        seen = [observed(optimizer, resumed)]
        for _ in range(10):
            optimizer.step()
            resumed.step()
            seen.append(observed(optimizer, resumed))
        return seen

    assert run(torchlike) == run(torch)


def test_resuming_without_an_initial_rate():
    for library in LIBRARIES:
        _, error = outcome(library.optim.lr_scheduler.StepLR, optimizer_of(library), 3, last_epoch=2)
        if library is torch:
            expected = error
    assert_same_error(error, expected)
    assert str(error) == str(expected)


def test_warnings_for_the_wrong_order():
    def run(library):
        optimizer, scheduler = made(library, "step")
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            scheduler.step()
            scheduler.step()
        first = [(w.category, str(w.message), w.filename) for w in caught]
        optimizer, scheduler = made(library, "step")
        optimizer.step = lambda: None
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            scheduler.step()
            scheduler.get_lr()
        return first, [(w.category, str(w.message)) for w in caught]

    ours = run(torchlike)
    assert ours == run(torch)
    assert len(ours[0]) == 1 and len(ours[1]) == 2


def test_no_warning_in_the_right_order():
    assert len(trajectory(torchlike, "chained", 3)) == 4


def test_an_optimizer_with_a_scheduler_is_freed_without_the_garbage_collector():
    import gc
    import weakref

    gc.collect()
    gc.disable()
    try:
        optimizer, scheduler = made(torchlike, "step")
        gone = weakref.ref(optimizer)
        del optimizer, scheduler
        assert gone() is None
    finally:
        gc.enable()


@pytest.mark.parametrize("name", ["step", "exponential", "linear", "constant", "multistep", "multiplicative"])
def test_tensor_rates_are_written_in_place(name):
    def run(library):
        optimizer = library.optim.SGD([library.zeros(2, requires_grad=True)], lr=library.tensor(0.1), momentum=0.9)
        lr = optimizer.param_groups[0]["lr"]
        scheduler = SCHEDULERS[name](library.optim.lr_scheduler, optimizer)
        seen = []
        for _ in range(8):
            optimizer.step()
            scheduler.step()
            assert optimizer.param_groups[0]["lr"] is lr
            assert scheduler.get_last_lr()[0] is not lr
            seen.append((scheduler.get_last_lr()[0].item(), lr.item()))
        return seen

    for a, e in zip(run(torchlike), run(torch), strict=True):
        assert a == pytest.approx(e, rel=1e-6)


BAD_CALLS = {
    "no optimizer": lambda s, o: s.StepLR(object(), 3),
    "plateau of nothing": lambda s, o: s.ReduceLROnPlateau(3),
    "cyclic of nothing": lambda s, o: s.CyclicLR("a", 0.1, 0.2),
    "onecycle of nothing": lambda s, o: s.OneCycleLR(None, 0.1, 5),
    "lambdas": lambda s, o: s.LambdaLR(o, [abs_of_epoch] * 3),
    "multiplicatives": lambda s, o: s.MultiplicativeLR(o, [abs_of_epoch]),
    "not callable": lambda s, o: s.MultiplicativeLR(o, 0.5),
    "constant factor": lambda s, o: s.ConstantLR(o, 1.5),
    "start factor": lambda s, o: s.LinearLR(o, 0.0),
    "end factor": lambda s, o: s.LinearLR(o, 0.5, 1.5),
    "factor": lambda s, o: s.ReduceLROnPlateau(o, factor=1.0),
    "mode": lambda s, o: s.ReduceLROnPlateau(o, "middle"),
    "threshold mode": lambda s, o: s.ReduceLROnPlateau(o, threshold_mode="both"),
    "min_lrs": lambda s, o: s.ReduceLROnPlateau(o, min_lr=[0.1]),
    "cyclic mode": lambda s, o: s.CyclicLR(o, 0.1, 0.2, mode="square"),
    "cyclic lengths": lambda s, o: s.CyclicLR(o, [0.1], 0.2),
    "T_0": lambda s, o: s.CosineAnnealingWarmRestarts(o, 0),
    "T_0 float": lambda s, o: s.CosineAnnealingWarmRestarts(o, 1.5),
    "T_mult": lambda s, o: s.CosineAnnealingWarmRestarts(o, 1, 0),
    "eta_min": lambda s, o: s.CosineAnnealingWarmRestarts(o, 1, 1, "a"),
    "restart epoch": lambda s, o: s.CosineAnnealingWarmRestarts(o, 1).step(-1),
    "total_steps": lambda s, o: s.OneCycleLR(o, 0.1, 0),
    "total_steps float": lambda s, o: s.OneCycleLR(o, 0.1, 1.5),
    "epochs": lambda s, o: s.OneCycleLR(o, 0.1, epochs=-1, steps_per_epoch=3),
    "steps_per_epoch": lambda s, o: s.OneCycleLR(o, 0.1, epochs=1, steps_per_epoch=0.5),
    "no steps": lambda s, o: s.OneCycleLR(o, 0.1, epochs=1),
    "pct_start": lambda s, o: s.OneCycleLR(o, 0.1, 10, pct_start=1.5),
    "pct_start int": lambda s, o: s.OneCycleLR(o, 0.1, 10, pct_start=1),
    "strategy": lambda s, o: s.OneCycleLR(o, 0.1, 10, anneal_strategy="square"),
    "max_lrs": lambda s, o: s.OneCycleLR(o, [0.1], 10),
    "too many steps": lambda s, o: [s.OneCycleLR(o, 0.1, 1)._update_lr(i) for i in range(5)],
    "no schedulers": lambda s, o: s.SequentialLR(o, [], []),
    "no milestones": lambda s, o: s.SequentialLR(o, [s.StepLR(o, 1), s.StepLR(o, 2)], []),
    "plateau in sequence": lambda s, o: s.SequentialLR(o, [s.ReduceLROnPlateau(o)], []),
    "not a scheduler": lambda s, o: s.SequentialLR(o, [object()], []),
    "nothing chained": lambda s, o: s.ChainedScheduler([]),
    "plateau chained": lambda s, o: s.ChainedScheduler([s.StepLR(o, 1), s.ReduceLROnPlateau(o)]),
    "not implemented": lambda s, o: s.LRScheduler(o),
}


@pytest.mark.parametrize("name", BAD_CALLS)
def test_errors(name):
    def run(library):
        return BAD_CALLS[name](library.optim.lr_scheduler, optimizer_of(library, momentum=0.9))

    _, expected = outcome(run, torch)
    assert expected is not None
    _, error = outcome(run, torchlike)
    assert_same_error(error, expected)
    assert str(error) == str(expected)


def test_errors_of_optimizers_that_do_not_fit():
    def no_momentum(library):
        return library.optim.lr_scheduler.OneCycleLR(optimizer_of(library, "Adagrad"), 0.1, 10)

    def two_optimizers(library):
        s, o = library.optim.lr_scheduler, optimizer_of(library)
        return s.ChainedScheduler([s.StepLR(o, 1), s.StepLR(optimizer_of(library), 1)])

    for function in (no_momentum, two_optimizers):
        _, expected = outcome(function, torch)
        assert_same_error(outcome(function, torchlike)[1], expected)


def test_swa_errors():
    for options in ({"anneal_strategy": "square"}, {"anneal_epochs": -1}, {"anneal_epochs": 0.5}):
        _, expected = outcome(torch.optim.swa_utils.SWALR, optimizer_of(torch), 0.1, **options)
        assert_same_error(
            outcome(torchlike.optim.swa_utils.SWALR, optimizer_of(torchlike), 0.1, **options)[1], expected
        )


def test_public_names_and_signatures():
    ours, theirs = torchlike.optim.lr_scheduler, torch.optim.lr_scheduler
    assert ours.__all__ == theirs.__all__
    for name in [*theirs.__all__, "_LRScheduler"]:
        a, e = getattr(ours, name), getattr(theirs, name)
        signatures = [inspect.signature(c) for c in (a, e)]
        assert _plain(signatures[0]) == _plain(signatures[1]), name
        assert a.__name__ == e.__name__ and a.__doc__
        assert issubclass(a, ours.LRScheduler)
        missing = [m for m in vars(e) if not m.startswith("__") and m != "anneal_func" and not hasattr(a, m)]
        assert not missing, f"{name}: {missing}"


def _plain(signature):
    return [(p.name, p.default, p.kind) for p in signature.parameters.values()]


def test_a_copy_goes_on_alone():
    def run(library):
        optimizer, scheduler = made(library, "cosine")
        again = copy.deepcopy(scheduler)
        seen = []
        for _ in range(3):
            again.optimizer.step()
            again.step()
            seen.append(observed(again.optimizer, again))
        return seen, observed(optimizer, scheduler)

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the copied optimizer does not note its steps
        assert run(torchlike) == run(torch)
