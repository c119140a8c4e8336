"""Stop a training run, resume it from its checkpoint, and get the trajectory of a run that never stopped."""

import tempfile
from pathlib import Path

import torch
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

EPOCHS = 6


def build():
    model = nn.Sequential(nn.Linear(8, 16), nn.ReLU(), nn.Dropout(0.2), nn.Linear(16, 1))
    optimizer = torch.optim.Adam(model.parameters(), lr=0.05)
    scheduler = torch.optim.lr_scheduler.StepLR(optimizer, step_size=2, gamma=0.5)
    return model, optimizer, scheduler


def train(model, optimizer, scheduler, loader, epochs):
    losses = []
    for _ in epochs:
        for inputs, targets in loader:
            optimizer.zero_grad()
            loss = nn.functional.mse_loss(model(inputs), targets)
            loss.backward()
            optimizer.step()
            losses.append(loss.item())
        scheduler.step()
    return losses


torch.manual_seed(3)
inputs = torch.randn(64, 8)
targets = inputs.sum(dim=1, keepdim=True) + 0.1 * torch.randn(64, 1)
loader = DataLoader(TensorDataset(inputs, targets), batch_size=16, shuffle=True)

# Once without a stop.
torch.manual_seed(4)
model, optimizer, scheduler = build()
straight = train(model, optimizer, scheduler, loader, range(EPOCHS))
expected = {name: value.clone() for name, value in model.state_dict().items()}

with tempfile.TemporaryDirectory() as folder:
    path = Path(folder) / "checkpoint.pt"

    # Half of the way, then everything that a run consists of goes into one file.
    torch.manual_seed(4)
    model, optimizer, scheduler = build()
    first = train(model, optimizer, scheduler, loader, range(EPOCHS // 2))
    checkpoint = {
        "epoch": EPOCHS // 2,
        "model": model.state_dict(),
        "optimizer": optimizer.state_dict(),
        "scheduler": scheduler.state_dict(),
        "rng": torch.get_rng_state(),
    }
    torch.save(checkpoint, path)

    # A new model, other random numbers in between: only the file connects the two halves.
    torch.manual_seed(999)
    model, optimizer, scheduler = build()
    checkpoint = torch.load(path, weights_only=True)
    print("checkpoint holds", sorted(checkpoint))
    print("optimizer keeps", sorted(checkpoint["optimizer"]["state"][0]), "for each parameter")
    model.load_state_dict(checkpoint["model"])
    optimizer.load_state_dict(checkpoint["optimizer"])
    scheduler.load_state_dict(checkpoint["scheduler"])
    torch.set_rng_state(checkpoint["rng"])
    second = train(model, optimizer, scheduler, loader, range(checkpoint["epoch"], EPOCHS))

torch.testing.assert_close(torch.tensor(first + second), torch.tensor(straight))
torch.testing.assert_close(dict(model.state_dict()), expected)
print(f"{len(straight)} steps, loss {straight[0]:.2f} at first and {straight[-1]:.2f} at last, the same with the stop")
print("learning rate now", scheduler.get_last_lr())
