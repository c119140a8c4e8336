"""A classifier fed by a ``DataLoader``: a dataset of one's own, a split, shuffled batches, dropout, evaluation."""

import torch
import torch.nn.functional as F
from torch import nn
from torch.utils.data import DataLoader, Dataset, random_split


class Rings(Dataset):
    """Points on three noisy rings around the origin; the label is the ring."""

    def __init__(self, samples, generator):
        self.labels = torch.randint(0, 3, (samples,), generator=generator)
        angle = 6.2832 * torch.rand(samples, generator=generator)
        radius = 1.0 + self.labels + 0.15 * torch.randn(samples, generator=generator)
        self.points = torch.stack((radius * torch.cos(angle), radius * torch.sin(angle)), dim=1)

    def __len__(self):
        return len(self.labels)

    def __getitem__(self, index):
        return self.points[index], self.labels[index]


class Classifier(nn.Module):
    def __init__(self):
        super().__init__()
        self.fc1 = nn.Linear(2, 32)
        self.fc2 = nn.Linear(32, 32)
        self.fc3 = nn.Linear(32, 3)
        self.dropout = nn.Dropout(0.1)

    def forward(self, x):
        x = F.relu(self.fc1(x))
        x = self.dropout(F.relu(self.fc2(x)))
        return self.fc3(x)


def evaluate(model, loader):
    model.eval()
    counts = torch.zeros(3, 3, dtype=torch.int64)
    with torch.no_grad():
        for points, labels in loader:
            for truth, guess in zip(labels, model(points).argmax(dim=1)):
                counts[truth, guess] += 1
    return counts


torch.manual_seed(1)
generator = torch.Generator().manual_seed(1)
train_set, test_set = random_split(Rings(800, generator), [0.8, 0.2], generator=generator)
train_loader = DataLoader(train_set, batch_size=64, shuffle=True, generator=generator)
test_loader = DataLoader(test_set, batch_size=50)
print(len(train_set), "to train on,", len(test_set), "to test on,", len(train_loader), "batches an epoch")

points, labels = next(iter(test_loader))
print("a batch:", points.shape, labels.shape, labels.dtype)

model = Classifier()
optimizer = torch.optim.AdamW(model.parameters(), lr=0.01)
criterion = nn.CrossEntropyLoss()
for epoch in range(10):
    model.train()
    running = 0.0
    for points, labels in train_loader:
        optimizer.zero_grad()
        loss = criterion(model(points), labels)
        loss.backward()
        optimizer.step()
        running += loss.item() * len(labels)
    if epoch % 3 == 0:
        print(f"epoch {epoch}: loss {running / len(train_set):.2f}")

counts = evaluate(model, test_loader)
print("how many of each class:", counts.sum(dim=1).tolist())
print("nearly all on the diagonal:", bool(counts.diag().sum() > 0.97 * counts.sum()))
