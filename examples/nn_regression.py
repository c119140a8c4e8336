"""Fit a noisy sine with a small network: ``nn.Module``, parameter groups, clipped gradients."""

import math

import torch
from torch import nn, optim


class SineNet(nn.Module):
    def __init__(self, width=32):
        super().__init__()
        self.hidden = nn.Linear(1, width)
        self.middle = nn.Linear(width, width)
        self.out = nn.Linear(width, 1, bias=False)
        nn.init.xavier_uniform_(self.middle.weight)
        nn.init.zeros_(self.middle.bias)

    def forward(self, x):
        x = torch.tanh(self.hidden(x))
        x = torch.tanh(self.middle(x))
        return self.out(x)


torch.manual_seed(7)
x = torch.linspace(-math.pi, math.pi, 256).unsqueeze(1)
y = torch.sin(x) + 0.05 * torch.randn_like(x)

model = SineNet()
print("parameters:", sum(p.numel() for p in model.parameters()))
for name, parameter in model.named_parameters():
    print(f"  {name:14s} {tuple(parameter.shape)}")

decayed = [p for p in model.parameters() if p.ndim > 1]
plain = [p for p in model.parameters() if p.ndim == 1]
optimizer = optim.SGD([{"params": decayed, "weight_decay": 1e-4}, {"params": plain, "lr": 0.02}], lr=0.05, momentum=0.9)
criterion = nn.MSELoss()

model.train()
for step in range(1, 301):
    optimizer.zero_grad()
    loss = criterion(model(x), y)
    loss.backward()
    norm = nn.utils.clip_grad_norm_(model.parameters(), max_norm=1.0)
    optimizer.step()
    if step in (1, 100, 200, 300):
        print(f"step {step:3d}: loss {loss.item():.3f}, gradient norm {norm:.1f}")

model.eval()
with torch.inference_mode():
    at = torch.tensor([[math.pi / 6], [math.pi / 2], [-math.pi / 2]])
    print("at pi/6, pi/2, -pi/2:", " ".join(f"{value:.1f}" for value in model(at).flatten().tolist()))
    fit = nn.functional.l1_loss(model(x), torch.sin(x))
print(f"mean distance from the true sine {fit:.2f}")
