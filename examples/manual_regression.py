"""Linear regression by hand: a loop with nothing but tensors, ``backward()`` and ``no_grad()``."""

import torch

torch.manual_seed(42)

true_weight = torch.tensor([2.0, -3.4, 0.5])
true_bias = 4.2
X = torch.randn(200, 3)
y = X @ true_weight + true_bias + 0.01 * torch.randn(200)

weight = torch.zeros(3, requires_grad=True)
bias = torch.zeros(1, requires_grad=True)
learning_rate = 0.1

for epoch in range(1, 61):
    error = X @ weight + bias - y
    loss = (error**2).mean()
    loss.backward()
    with torch.no_grad():
        weight -= learning_rate * weight.grad
        bias -= learning_rate * bias.grad
        weight.grad.zero_()
        bias.grad = None
    if epoch % 15 == 0:
        print(f"epoch {epoch:2d}: loss {loss.item():.4f}")

print("weight", weight)
print("bias", bias.detach())
print(f"off by at most {(weight.detach() - true_weight).abs().max():.3f}")

# The same by least squares, to see that descent went where it should.
solution = torch.linalg.lstsq(torch.cat((X, torch.ones(200, 1)), dim=1), y.unsqueeze(1)).solution.squeeze(1)
assert torch.allclose(torch.cat((weight, bias)), solution, atol=1e-3)
print("least squares agrees")
