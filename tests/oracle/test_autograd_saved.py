"""What nodes save agrees with native PyTorch: which tensors may be written to before the backward, and what it frees."""

import pytest

native = pytest.importorskip("torch")

import torchlike  # noqa: E402

#: Functions of the library and of a square matrix, by their names or by names of their own.
OF_TORCH = (
    "abs acos asin asinh atan atanh cos cosh sin sinh tan tanh exp exp2 expm1 log log2 log10 log1p sqrt rsqrt square "
    "reciprocal neg sigmoid relu erf erfc lgamma digamma sign floor frac deg2rad logit nan_to_num sum mean prod max "
    "min amax amin std var norm t tril triu flatten clone median trace"
)
OF_FUNCTIONAL = (
    "relu6 elu selu gelu silu mish softplus softsign tanhshrink hardtanh hardswish leaky_relu logsigmoid softshrink "
    "normalize"
)
OPERATIONS = {name: lambda torch, x, name=name: getattr(torch, name)(x) for name in OF_TORCH.split()}
OPERATIONS |= {
    name: lambda torch, x, name=name: getattr(torch.nn.functional, name)(x) for name in OF_FUNCTIONAL.split()
}
OPERATIONS |= {
    "softmax": lambda torch, x: torch.softmax(x, 1),
    "log_softmax": lambda torch, x: torch.log_softmax(x, 1),
    "sum of rows": lambda torch, x: x.sum(1),
    "largest of rows": lambda torch, x: x.max(1)[0],
    "sort": lambda torch, x: x.sort(1)[0],
    "topk": lambda torch, x: x.topk(2, 1)[0],
    "cummax": lambda torch, x: x.cummax(1)[0],
    "logsumexp": lambda torch, x: x.logsumexp(1),
    "cumsum": lambda torch, x: x.cumsum(1),
    "cube": lambda torch, x: x**3,
    "power": lambda torch, x: x**0.5,
    "twice": lambda torch, x: x * 2,
    "half": lambda torch, x: x / 2,
    "two over": lambda torch, x: 2 / x,
    "plus two": lambda torch, x: x + 2,
    "two minus": lambda torch, x: 2 - x,
    "times itself": lambda torch, x: x * x,
    "quotient": lambda torch, x: x / (x + 1),
    "clamp": lambda torch, x: x.clamp(0.2, 0.8),
    "where": lambda torch, x: torch.where(x > 0.5, x, x * 0),
    "masked_fill": lambda torch, x: x.masked_fill(x > 0.5, 0.0),
    "gather": lambda torch, x: x.gather(1, torch.tensor([[0], [1], [2]])),
    "indexed": lambda torch, x: x[torch.tensor([0, 1])],
    "masked": lambda torch, x: x[x.detach() > 0.5],
    "index_select": lambda torch, x: x.index_select(0, torch.tensor([0, 1])),
    "mm": lambda torch, x: x.mm(x),
    "mm with a constant": lambda torch, x: x.mm(torch.ones(3, 3)),
    "mv": lambda torch, x: x.mv(torch.ones(3)),
    "cat": lambda torch, x: torch.cat([x, x]),
    "stack": lambda torch, x: torch.stack([x, x]),
    "lerp": lambda torch, x: torch.lerp(x, torch.ones(3, 3), 0.3),
    "atan2": lambda torch, x: torch.atan2(x, torch.ones(3, 3)),
    "hypot": lambda torch, x: torch.hypot(x, torch.ones(3, 3)),
    "mse_loss": lambda torch, x: torch.nn.functional.mse_loss(x, torch.ones(3, 3)),
    "cross_entropy": lambda torch, x: torch.nn.functional.cross_entropy(x, torch.tensor([0, 1, 2])),
    "layer_norm": lambda torch, x: torch.nn.functional.layer_norm(x, (3,)),
    "batch_norm": lambda torch, x: torch.nn.functional.batch_norm(x, None, None, training=True),
    "linear": lambda torch, x: torch.nn.functional.linear(x, torch.ones(2, 3)),
    "max_pool2d": lambda torch, x: torch.nn.functional.max_pool2d(x.view(1, 1, 3, 3), 2, 1),
    "dropout": lambda torch, x: torch.nn.functional.dropout(x, 0.5, True),
    "repeat": lambda torch, x: x.repeat(2, 1),
    "expand": lambda torch, x: x.unsqueeze(0).expand(2, 3, 3),
    "double": lambda torch, x: x.double(),
    "embedding": lambda torch, x: torch.nn.functional.embedding(torch.tensor([0, 1]), x),
}


def _kind(function):
    """How a backward ends."""
    try:
        function()
    except RuntimeError as error:
        text = str(error)
        return "freed" if "second time" in text else "written to" if "modified by an inplace" in text else text
    return "fine"


def behaviour(torch, operation):
    """The node's name; how a backward ends, a second one, one after a write to the input, one after a write to the result."""
    base = torch.tensor([[0.1, 0.6, 0.3], [0.8, 0.45, 0.25], [0.35, 0.7, 0.9]])

    def prepared():
        h = base.clone().requires_grad_() * 1.0
        y = operation(torch, h)
        return h, y, lambda: torch.autograd.grad(y, h, torch.ones_like(y))

    _, y, backward = prepared()
    seen = [type(y.grad_fn).__name__, _kind(backward), _kind(backward)]
    h, _, backward = prepared()
    with torch.no_grad():
        h.mul_(1.0)
    seen.append(_kind(backward))
    _, y, backward = prepared()
    with torch.no_grad():
        written = _kind(lambda: y.mul_(1.0))
    seen.append(_kind(backward) if written == "fine" else written)
    return seen


@pytest.mark.parametrize("name", OPERATIONS)
def test_what_is_saved(name):
    assert behaviour(torchlike, OPERATIONS[name]) == behaviour(native, OPERATIONS[name])
