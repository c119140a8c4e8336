"""Averages of weights agree with native torch."""

import inspect

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from oracle import array_of, assert_same_error, ours, outcome  # noqa: E402

import torchlike  # noqa: E402

LIBRARIES = (torch, torchlike)


def model_of(library):
    nn = library.nn
    model = nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4), nn.ReLU(), nn.Linear(4, 2))
    rng = np.random.default_rng(0)
    state = {
        key: rng.standard_normal(tuple(value.shape)).astype("float32")
        for key, value in model.state_dict().items()
        if not key.endswith("num_batches_tracked")
    }
    state["1.running_var"] = abs(state["1.running_var"])
    model.load_state_dict({key: library.tensor(value) for key, value in state.items()}, strict=False)
    return model


def perturb(library, model, seed):
    rng = np.random.default_rng(seed)
    with library.no_grad():
        for p in model.parameters():
            p.add_(library.tensor(rng.standard_normal(tuple(p.shape)).astype("float32")))
        model[1].running_mean.add_(1.0)
        model[1].num_batches_tracked.add_(3)


AVERAGES = {
    "default": lambda u: {},
    "buffers": lambda u: {"use_buffers": True},
    "swa": lambda u: {"avg_fn": u.get_swa_avg_fn()},
    "ema": lambda u: {"avg_fn": u.get_ema_avg_fn(0.7)},
    "ema of buffers": lambda u: {"multi_avg_fn": u.get_ema_multi_avg_fn(0.7), "use_buffers": True},
    "multi swa": lambda u: {"multi_avg_fn": u.get_swa_multi_avg_fn()},
    "multi ema": lambda u: {"multi_avg_fn": u.get_ema_multi_avg_fn(0.9)},
    "own": lambda u: {"avg_fn": lambda average, now, n: average * 0.25 + now * 0.75 + n},
}


@pytest.mark.parametrize("name", AVERAGES)
def test_averaged_model(name):
    def averaged(library):
        utils = library.optim.swa_utils
        model = model_of(library)
        average = utils.AveragedModel(model, **AVERAGES[name](utils))
        for seed in range(4):
            perturb(library, model, seed)
            average.update_parameters(model)
        return average

    ours_, theirs = averaged(torchlike), averaged(torch)
    assert list(ours_.state_dict()) == list(theirs.state_dict())
    for key, expected in theirs.state_dict().items():
        found = ours_.state_dict()[key]
        assert str(found.dtype) == str(expected.dtype)
        np.testing.assert_allclose(array_of(found), array_of(expected), rtol=1e-5, atol=1e-6, err_msg=key)
    x = torch.ones(5, 3)
    ours_.eval(), theirs.eval()
    np.testing.assert_allclose(array_of(ours_(ours(x))), array_of(theirs(x)), rtol=1e-4, atol=1e-5)


def test_update_bn():
    def updated(library, batches):
        model = model_of(library)
        model[1].momentum = 0.3
        model.eval()
        library.optim.swa_utils.update_bn(batches, model)
        assert model[1].momentum == 0.3 and not model.training
        return model[1].state_dict()

    rng = np.random.default_rng(1)
    arrays = [rng.standard_normal((4, 3)).astype("float32") for _ in range(3)]
    expected = updated(torch, [(torch.tensor(a), 0) for a in arrays])
    for make in (lambda t: t, lambda t: [t, 1]):
        found = updated(torchlike, [make(torchlike.tensor(a)) for a in arrays])
        for key, value in expected.items():
            np.testing.assert_allclose(array_of(found[key]), array_of(value), rtol=1e-5, atol=1e-6, err_msg=key)


def test_update_bn_without_batch_normalization():
    model = torchlike.nn.Linear(2, 2)
    torchlike.optim.swa_utils.update_bn(iter(()), model)
    assert model.training


def test_integers_are_averaged_too():
    def averaged(library, function):
        average, now = library.tensor([4, 8]), library.tensor([10, 2])
        floats = library.tensor([0.5]), library.tensor([1.5])
        try:
            function(library.optim.swa_utils)([average], [now], library.tensor(2))
        except RuntimeError as error:
            return type(error)
        function(library.optim.swa_utils)([floats[0]], [floats[1]], 1)
        return array_of(average).tolist(), array_of(floats[0]).tolist()

    for function in (lambda u: u.get_ema_multi_avg_fn(0.5), lambda u: u.get_swa_multi_avg_fn()):
        assert averaged(torchlike, function) == averaged(torch, function)


def test_errors():
    for call in (
        lambda u, m: u.get_ema_avg_fn(1.5),
        lambda u, m: u.get_ema_multi_avg_fn(-0.1),
        lambda u, m: u.AveragedModel(m.nn.Linear(1, 1), avg_fn=len, multi_avg_fn=len),
    ):
        errors = [outcome(call, library.optim.swa_utils, library)[1] for library in LIBRARIES]
        assert_same_error(errors[1], errors[0])


def test_public_names_and_signatures():
    a, e = torchlike.optim.swa_utils, torch.optim.swa_utils
    assert a.__all__ == e.__all__
    for name in e.__all__:
        signatures = [
            [(p.name, p.default, p.kind) for p in inspect.signature(getattr(m, name)).parameters.values()]
            for m in (a, e)
        ]
        assert signatures[0] == signatures[1], name
        assert getattr(a, name).__doc__
