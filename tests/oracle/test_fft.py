"""Fourier transforms and window functions against native PyTorch."""

from __future__ import annotations

import pytest

torch = pytest.importorskip("torch")

import torch.signal.windows as native_windows
from oracle import check, infos, loosen, samples

import torchlike
from torchlike.signal import windows

NAMES = [how + suffix for how in ["fft", "ifft", "rfft", "irfft", "hfft", "ihfft"] for suffix in ("", "2", "n")]
for _name in [*[f"fft.{n}" for n in NAMES], "stft", "istft"]:  # sums of hundreds of numbers
    for _dtype in ("float32", "complex64"):
        loosen(_name, _dtype, 1e-4, 1e-3)


@pytest.mark.parametrize("dtype", ["float32", "float64", "complex64", "int64", "bool"])
@pytest.mark.parametrize("name", [*NAMES, "fftshift", "ifftshift"])
def test_samples(name, dtype):
    dtype = getattr(torch, dtype)
    for info in infos(f"fft.{name}"):
        if dtype not in info.supported_dtypes("cpu"):
            continue
        differentiable = dtype.is_floating_point or dtype.is_complex
        for args, kwargs in samples(info, dtype, 4, requires_grad=differentiable):
            check(f"fft.{name}", getattr(torch.fft, name), getattr(torchlike.fft, name), args, kwargs)


REAL = torch.arange(24.0).view(4, 6).sin().requires_grad_()
COMPLEX = torch.complex(REAL.detach(), REAL.detach().cos()).requires_grad_()
ONE = [{"n": n} for n in (1, 3, 9, 0, -1)] + [{"dim": 0}, {"dim": 5}, {"n": 4, "dim": 0}]
SEVERAL = [
    *[{"s": s} for s in ((2, 3), (8, 9), (-1, 3), (0, 1), (3,), (2, 2, 2), (-2, 3), 3)],
    *[{"dim": d} for d in ((0, 1), (0, 0), (0, 5), 0, ())], {"s": (2, 3), "dim": (0, 1)}, {"s": (2,), "dim": (0, 1)},
]  # fmt: skip
NORMS = [{"norm": n} for n in (None, "forward", "backward", "ortho", "x")]


@pytest.mark.parametrize("name", NAMES)
def test_arguments(name):
    functions = getattr(torch.fft, name), getattr(torchlike.fft, name)
    x = COMPLEX if name.startswith(("ir", "h")) else REAL
    for kwargs in [*NORMS, *(SEVERAL if name.endswith(("2", "n")) else ONE)]:
        check(f"fft.{name}", *functions, [x], kwargs)
    for other in (REAL, COMPLEX, REAL.detach().half(), REAL.detach().bfloat16(), torch.tensor(1.0), 3):
        check(f"fft.{name}", *functions, [other])


@pytest.mark.parametrize("name", ["fftfreq", "rfftfreq"])
def test_frequencies(name):
    functions = getattr(torch.fft, name), getattr(torchlike.fft, name)
    for n in (0, 1, 4, 5, 8, -1):
        for kwargs in ({}, {"d": 0.1}, {"dtype": torch.float64}, {"dtype": torch.int64}):
            check(name, *functions, [n], kwargs)


@pytest.mark.parametrize("name", ["stft", "istft"])
@pytest.mark.parametrize("dtype", ["float32", "float64", "complex64"])
def test_short_time_samples(name, dtype):
    dtype = getattr(torch, dtype)
    for info in infos(name):
        if dtype in info.supported_dtypes("cpu"):
            for args, kwargs in samples(info, dtype, 10, requires_grad=True):
                check(name, getattr(torch, name), getattr(torchlike, name), args, kwargs, node=False)


SIGNAL = torch.arange(80.0).view(2, 40).sin().requires_grad_()
WINDOW = (torch.hann_window(16) + 0.1).requires_grad_()


@pytest.mark.parametrize(
    "kwargs",
    [
        {"center": False, "align_to_window": True, "win_length": 8}, {"normalized": True}, {"win_length": 6, "hop_length": 3},
        {"pad_mode": "constant"}, {"onesided": False, "hop_length": 5}, {"window": WINDOW}, {"return_complex": False},
        {"return_complex": None}, {"hop_length": 0}, {"win_length": 20}, {"window": torch.ones(5)}, {"align_to_window": True},
        {"window": torch.ones(16, dtype=torch.complex64)},
    ],
)  # fmt: skip
def test_stft(kwargs):
    check("stft", torch.stft, torchlike.stft, [SIGNAL, 16], {"return_complex": True, **kwargs}, node=False)


@pytest.mark.parametrize(
    "kwargs",
    [
        {"window": WINDOW}, {"window": WINDOW.detach()}, {}, {"normalized": True}, {"length": 30}, {"length": 70}, {"hop_length": 4},
        {"center": False}, {"win_length": 10}, {"win_length": 20}, {"hop_length": 20}, {"window": torch.zeros(16)},
        {"window": torch.ones(5)}, {"return_complex": True}, {"window": torch.hann_window(16), "center": False},
    ],
)  # fmt: skip
def test_istft(kwargs):
    spectrum = torch.stft(SIGNAL.detach(), 16, window=WINDOW.detach(), return_complex=True).requires_grad_()
    check("istft", torch.istft, torchlike.istft, [spectrum, 16], kwargs, node=False)


@pytest.mark.parametrize("name", ["hann", "hamming", "blackman", "bartlett", "kaiser"])
def test_torch_windows(name):
    functions = getattr(torch, f"{name}_window"), getattr(torchlike, f"{name}_window")
    for length in (0, 1, 2, 3, 8, 17, -1, 2.0):
        for periodic in (True, False):
            for dtype in (torch.float32, torch.float64, torch.int64, None):
                check(name, *functions, [length, periodic], {"dtype": dtype})


@pytest.mark.parametrize("name", native_windows.__all__)
def test_signal_windows(name):
    functions = getattr(native_windows, name), getattr(windows, name)
    extra = {"a": [0.4, 0.3, 0.2, 0.1]} if name == "general_cosine" else {}
    for length in (0, 1, 2, 3, 8, 17, -1):
        for symmetric in (True, False):
            for dtype in (torch.float32, torch.float64, torch.float16):
                check(name, *functions, [length], {"sym": symmetric, "dtype": dtype, **extra})
