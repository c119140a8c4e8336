"""Initializers agree with native torch: the same numbers under the same seed, the same errors, warnings and gains."""

import math
import warnings

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from oracle import array_of, assert_same, assert_same_error, loosen, outcome  # noqa: E402

import torchlike  # noqa: E402

# A QR factorization, whose rounding is LAPACK's.
loosen("orthogonal_", "float32", 1e-3, 1e-5)
# A logarithm decides which draws are accepted; those that are agree to rounding.
loosen("trunc_normal_", "float32", 1e-5, 1e-6)

FILLS = [
    ("uniform_", {}, [(5, 7), (3,), ()]),
    ("uniform_", {"a": -2.0, "b": 3.0}, [(40, 7)]),
    ("normal_", {}, [(5, 7), (3,), (16,), (100,)]),
    ("normal_", {"mean": 2.0, "std": 0.1}, [(5, 7)]),
    ("trunc_normal_", {}, [(5, 7), (50,)]),
    ("trunc_normal_", {"mean": 1.0, "std": 2.0, "a": 0.0, "b": 1.5}, [(20, 10)]),
    ("trunc_normal_", {"a": 2.5, "b": 3.0}, [(20, 10)]),
    ("trunc_normal_", {"mean": 0.5, "std": 0.02, "a": -2.0, "b": 2.0}, [(64, 3)]),
    ("constant_", {"val": 0.3}, [(5, 7), ()]),
    ("ones_", {}, [(5, 7)]),
    ("zeros_", {}, [(5, 7)]),
    ("eye_", {}, [(5, 7), (4, 4), (7, 2)]),
    ("dirac_", {}, [(4, 3, 5), (3, 4, 3, 3), (2, 2, 3, 3, 3)]),
    ("dirac_", {"groups": 2}, [(4, 3, 5), (6, 2, 3, 3)]),
    ("xavier_uniform_", {}, [(5, 7), (4, 3, 3, 3)]),
    ("xavier_uniform_", {"gain": 2.5}, [(5, 7)]),
    ("xavier_normal_", {}, [(5, 7), (4, 3, 3)]),
    ("kaiming_uniform_", {}, [(5, 7), (4, 3, 3, 3)]),
    ("kaiming_uniform_", {"a": math.sqrt(5)}, [(5, 7)]),
    ("kaiming_uniform_", {"mode": "fan_out", "nonlinearity": "relu"}, [(5, 7)]),
    ("kaiming_normal_", {}, [(5, 7), (4, 3, 3, 3)]),
    ("kaiming_normal_", {"mode": "fan_out", "nonlinearity": "tanh"}, [(4, 3, 2)]),
    ("orthogonal_", {}, [(4, 4), (3, 6), (6, 3), (4, 2, 3)]),
    ("orthogonal_", {"gain": 2.0}, [(4, 4)]),
    ("sparse_", {"sparsity": 0.3}, [(10, 6)]),
    ("sparse_", {"sparsity": 0.5, "std": 1.0}, [(5, 3)]),
]


@pytest.mark.parametrize(
    ("name", "kwargs", "shape"),
    [(name, kwargs, shape) for name, kwargs, shapes in FILLS for shape in shapes],
)
@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.filterwarnings("ignore:mean is more than 2 std")
def test_same_numbers(name, kwargs, shape, dtype):
    results = []
    for library in (torch, torchlike):
        library.manual_seed(3)
        tensor = library.nn.Parameter(library.empty(shape, dtype=getattr(library, dtype)))
        returned = getattr(library.nn.init, name)(tensor, **kwargs)
        assert returned is tensor and tensor.requires_grad and tensor.is_leaf
        # What is drawn afterwards shows that no draw was left out or made in vain.
        results.append([tensor.detach(), library.rand(3)])
    assert_same(results[1], results[0], name, name)


@pytest.mark.parametrize("name", ["uniform_", "normal_", "xavier_uniform_", "kaiming_normal_", "sparse_"])
def test_generators(name):
    extra = {"sparsity": 0.1} if name == "sparse_" else {}
    results = []
    for library in (torch, torchlike):
        library.manual_seed(1)
        generator = library.Generator().manual_seed(7)
        results.append([getattr(library.nn.init, name)(library.empty(6, 5), **extra, generator=generator)])
    assert_same(results[1], results[0], name, name)


GAINS = ["linear", "conv1d", "conv2d", "conv3d", "conv_transpose2d", "sigmoid", "tanh", "relu", "selu", "leaky_relu"]


@pytest.mark.parametrize("nonlinearity", GAINS)
def test_gains(nonlinearity):
    assert torchlike.nn.init.calculate_gain(nonlinearity) == torch.nn.init.calculate_gain(nonlinearity)
    assert torchlike.nn.init.calculate_gain("leaky_relu", 0.3) == torch.nn.init.calculate_gain("leaky_relu", 0.3)


@pytest.mark.parametrize(
    ("name", "shape", "args"),
    [
        ("calculate_gain", None, ("sine",)),
        ("calculate_gain", None, ("leaky_relu", True)),
        ("calculate_gain", None, ("leaky_relu", "x")),
        ("eye_", (3,), ()),
        ("dirac_", (3, 3), ()),
        ("dirac_", (3, 3, 3), (2,)),
        ("xavier_uniform_", (3,), ()),
        ("xavier_normal_", (), ()),
        ("kaiming_uniform_", (3,), ()),
        ("kaiming_uniform_", (3, 3), (0, "fan_sideways")),
        ("kaiming_normal_", (3, 3), (0, "fan_in", "sine")),
        ("orthogonal_", (3,), ()),
        ("sparse_", (3,), (0.1,)),
    ],
)
def test_errors(name, shape, args):
    errors = []
    for library in (torch, torchlike):
        tensors = () if shape is None else (library.empty(shape),)
        errors.append(outcome(getattr(library.nn.init, name), *tensors, *args)[1])
    assert_same_error(errors[1], errors[0])


def test_warnings():
    for library in (torch, torchlike):
        with pytest.warns(UserWarning, match="Initializing zero-element tensors is a no-op"):
            library.nn.init.kaiming_uniform_(library.empty(0, 3))
        with pytest.warns(UserWarning, match="mean is more than 2 std from"):
            library.nn.init.trunc_normal_(library.empty(3), mean=9.0)


@pytest.mark.parametrize("name", ["uniform", "normal", "xavier_uniform", "kaiming_normal", "eye", "constant"])
def test_old_names_warn(name):
    args = (0.5,) if name == "constant" else ()
    for library in (torch, torchlike):
        with pytest.warns(FutureWarning, match=f"`nn.init.{name}` is now deprecated in favor of `nn.init.{name}_`."):
            getattr(library.nn.init, name)(library.empty(3, 3), *args)
        assert getattr(library.nn.init, name).__name__ == name


def test_public_names():
    assert sorted(torchlike.nn.init.__all__) == sorted(torch.nn.init.__all__)


def test_whole_models_start_equal():
    """Layers draw their weights in the same order."""

    def model(nn):
        return nn.Sequential(
            nn.Conv2d(3, 8, 3),
            nn.BatchNorm2d(8),
            nn.Linear(8, 16),
            nn.LSTM(16, 4, 2, bidirectional=True),
            nn.Embedding(10, 4, padding_idx=0),
            nn.MultiheadAttention(8, 2),
            nn.TransformerEncoderLayer(8, 2, 16),
            nn.Bilinear(3, 4, 5),
            nn.GRUCell(3, 4),
            nn.ConvTranspose1d(2, 4, 3),
        )

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.manual_seed(11)
        expected = model(torch.nn)
        torchlike.manual_seed(11)
        actual = model(torchlike.nn)
    for (name, wanted), (found_name, found) in zip(expected.named_parameters(), actual.named_parameters(), strict=True):
        assert name == found_name
        assert np.array_equal(array_of(wanted), array_of(found)), name
