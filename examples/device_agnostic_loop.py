"""One training loop for whatever there is to run on: the accelerator if there is one, the processor if not."""

import torch
from torch import nn

if torch.accelerator.is_available():
    device = torch.accelerator.current_accelerator()
else:
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")


def batches(count, size, generator):
    for _ in range(count):
        # Noise, with a slightly brighter left half where the label is 1 and a brighter right half where it is 0.
        label = torch.randint(0, 2, (size,), generator=generator)
        left = torch.cat((torch.ones(8, 4), torch.zeros(8, 4)), dim=1)
        bright = torch.where(label.view(-1, 1, 1, 1) == 1, left, 1 - left)
        yield 0.4 * bright + torch.randn(size, 1, 8, 8, generator=generator), label


torch.manual_seed(0)
model = nn.Sequential(
    nn.Conv2d(1, 8, kernel_size=3, padding=1),
    nn.ReLU(),
    nn.MaxPool2d(2),
    nn.Flatten(),
    nn.Linear(8 * 4 * 4, 2),
).to(device)
assert all(parameter.device.type == device.type for parameter in model.parameters())
optimizer = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9)
criterion = nn.CrossEntropyLoss().to(device)

generator = torch.Generator().manual_seed(0)
model.train()
for step, (images, labels) in enumerate(batches(40, 64, generator), start=1):
    images, labels = images.to(device, non_blocking=True), labels.to(device, non_blocking=True)
    loss = criterion(model(images), labels)
    optimizer.zero_grad(set_to_none=True)
    loss.backward()
    optimizer.step()
    if step % 10 == 0:
        print(f"step {step}: loss {loss.item():.2f}")

model.eval()
correct = total = 0
with torch.no_grad():
    for images, labels in batches(4, 100, generator):
        guesses = model(images.to(device)).argmax(dim=1)
        assert guesses.device.type == device.type
        correct += (guesses.cpu() == labels).sum().item()
        total += len(labels)
print(f"accuracy above 90%: {correct > 0.9 * total}")

# A checkpoint from any device opens on any other.
state = {name: value.cpu() for name, value in model.state_dict().items()}
print({name: (tuple(value.shape), str(value.device)) for name, value in state.items()})
