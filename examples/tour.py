"""A short tour: tensors, gradients, and a small model that is trained, saved and loaded again.

python -m torchlike examples/tour.py
"""

import tempfile
from pathlib import Path

import torch
from torch import nn


def tensors():
    print("-- tensors")
    x = torch.arange(12, dtype=torch.float32).reshape(3, 4)
    print(x)
    print(x[1:, ::2], x.shape, x.dtype)
    view = x.T
    view[0, 0] = 100.0
    print("a view writes through to its base:", x[0, 0].item())
    print("rows sum to", x.sum(dim=1))
    print("broadcast:", (x[:, :1] + torch.tensor([10, 20])).tolist())
    print("as NumPy:", x.numpy().mean(axis=0))


def gradients():
    print("-- gradients")
    x = torch.tensor([1.0, 2.0, 3.0], requires_grad=True)
    y = (x**3).sum()
    print("y =", y)
    (slope,) = torch.autograd.grad(y, x, create_graph=True)
    print("dy/dx =", slope.tolist())
    slope.sum().backward()
    print("d2y/dx2 =", x.grad)


class Spiral(nn.Module):
    """A two-layer network that tells three intertwined spirals apart."""

    def __init__(self, hidden=64):
        super().__init__()
        self.layers = nn.Sequential(nn.Linear(2, hidden), nn.Tanh(), nn.Linear(hidden, 3))

    def forward(self, x):
        return self.layers(x)


def spirals(points=100):
    label = torch.arange(3).repeat_interleave(points)
    radius = torch.linspace(0.1, 1.0, points).repeat(3)
    angle = 4.0 * radius + 2.1 * label + 0.1 * torch.randn(3 * points)
    return radius.unsqueeze(1) * torch.stack((angle.cos(), angle.sin()), dim=1), label


def training():
    print("-- a model")
    torch.manual_seed(0)
    inputs, labels = spirals()
    model = Spiral()
    print(model)
    optimizer = torch.optim.Adam(model.parameters(), lr=0.05)
    for step in range(201):
        loss = nn.functional.cross_entropy(model(inputs), labels)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        if step % 50 == 0:
            print(f"step {step:3d}  loss {loss.item():.2f}")

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "spiral.pt"
        torch.save(model.state_dict(), path)
        again = Spiral()
        print(again.load_state_dict(torch.load(path)))
    model.eval()
    again.eval()
    with torch.no_grad():
        accuracy = (again(inputs).argmax(dim=1) == labels).float().mean()
        assert torch.equal(model(inputs), again(inputs))
    print(f"loaded again: accuracy {accuracy:.2f}")


tensors()
gradients()
training()
