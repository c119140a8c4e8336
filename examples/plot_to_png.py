"""Draw tensors with Matplotlib, without a screen: curves, a picture, a histogram, written to a PNG file.

python -m torchlike examples/plot_to_png.py [file.png]
"""

import struct
import sys
import tempfile
from pathlib import Path

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt
import torch

torch.manual_seed(0)
path = Path(sys.argv[1]) if len(sys.argv) > 1 else Path(tempfile.mkdtemp()) / "tensors.png"

x = torch.linspace(-3, 3, 200, requires_grad=True)
activations = {"relu": torch.relu, "tanh": torch.tanh, "gelu": torch.nn.functional.gelu}

figure, (curves, slopes, picture, histogram) = plt.subplots(1, 4, figsize=(12, 3), layout="tight")
for name, function in activations.items():
    y = function(x)
    (slope,) = torch.autograd.grad(y.sum(), x)
    curves.plot(x.detach(), y.detach().numpy(), label=name)
    slopes.plot(x.detach().numpy(), slope, label=name)
    print(f"{name}: from {y.min():.3f} to {y.max():.3f}, steepest {slope.max():.3f}")
curves.set_title("activations")
curves.legend()
slopes.set_title("their slopes")

row, column = torch.meshgrid(torch.linspace(-2, 2, 64), torch.linspace(-2, 2, 64), indexing="ij")
picture.imshow(torch.exp(-(row**2 + column**2)).numpy(), cmap="magma")
picture.set_title("a bump")
samples = torch.randn(2000)
counts, _, _ = histogram.hist(samples, bins=20)
histogram.set_title("2000 draws")
print("in the histogram:", int(counts.sum()))

figure.savefig(path, dpi=100)
data = path.read_bytes()
assert data[:8] == b"\x89PNG\r\n\x1a\n"
print("wrote", path.suffix, "of", struct.unpack(">II", data[16:24]), "pixels")
