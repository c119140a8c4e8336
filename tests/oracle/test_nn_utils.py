"""`nn.utils` and `nn.parallel` agree with native torch: clipping, packing, parametrizations, pruning, fusion."""

import copy
import importlib
import pickle
import warnings

import pytest

torch = pytest.importorskip("torch")

from scenarios import attempt, compare  # noqa: E402

SCENARIOS = []


def scenario(function):
    SCENARIOS.append(function)
    return function


def model_with_gradients(t):
    m = t.nn.Sequential(t.nn.Linear(3, 4), t.nn.Linear(4, 2))
    m(t.ones(2, 3) * 7).square().sum().backward()
    return m


@scenario
def clipping(t):
    utils = t.nn.utils
    for norm_type in (2.0, 1.0, float("inf"), 3):
        m = model_with_gradients(t)
        yield utils.clip_grad_norm_(m.parameters(), 1.5, norm_type), [p.grad for p in m.parameters()]
    m = model_with_gradients(t)
    yield utils.clip_grad_norm_(m[0].weight, 1e9), m[0].weight.grad
    yield utils.clip_grad_value_(m.parameters(), 0.5), [p.grad for p in m.parameters()]
    for tensors in ([t.ones(3), t.full((2,), 2.0)], [], t.ones(4)):
        yield utils.get_total_norm(tensors)
    total = utils.get_total_norm([p.grad for p in m.parameters()])
    yield utils.clip_grads_with_norm_(m.parameters(), 0.1, total), [p.grad for p in m.parameters()]
    m[0].weight.grad[0] = float("nan")
    yield attempt(utils.clip_grad_norm_, m.parameters(), 1.0, error_if_nonfinite=True)
    yield attempt(utils.clip_grad_norm_, (p for p in []), 1.0), attempt(utils.clip_grad_norm, [t.ones(1)], 1.0)
    yield utils.clip_grad_norm_([t.ones(1)], 1.0, foreach=True)


@scenario
def vectors(t):
    m = model_with_gradients(t)
    vector = t.nn.utils.parameters_to_vector(m.parameters())
    yield vector.shape, vector.requires_grad
    t.nn.utils.vector_to_parameters(t.arange(26.0), m.parameters())
    yield list(m.parameters())
    yield attempt(t.nn.utils.vector_to_parameters, [1.0], m.parameters())


@scenario
def padding_sequences(t):
    rnn = t.nn.utils.rnn
    sequences = [t.arange(3), t.arange(5), t.arange(1)]
    yield rnn.pad_sequence(sequences), rnn.pad_sequence(sequences, batch_first=True, padding_value=-1)
    yield rnn.pad_sequence(sequences, batch_first=True, padding_side="left")
    floats = [t.ones(2, 3), t.ones(1, 3) * 2]
    yield rnn.pad_sequence(floats, padding_value=0.5)
    leaf = t.ones(2, requires_grad=True)
    padded = rnn.pad_sequence([leaf, t.ones(3)], batch_first=True)
    (padded * t.arange(6.0).view(2, 3)).sum().backward()
    yield padded.requires_grad, leaf.grad
    lengths = t.tensor([3, 5, 1])
    yield rnn.unpad_sequence(rnn.pad_sequence(sequences, batch_first=True), lengths, batch_first=True)
    packed = rnn.pack_sequence(sequences, enforce_sorted=False)
    yield packed.data, packed.batch_sizes, packed.sorted_indices, packed.unsorted_indices, rnn.unpack_sequence(packed)
    yield rnn.pad_packed_sequence(packed, total_length=7, padding_value=9)
    yield packed.double().data.dtype, packed.to(t.float16).data.dtype, packed.cpu() is packed, packed.is_cuda
    yield rnn.invert_permutation(t.tensor([2, 0, 1])), rnn.invert_permutation(None)
    x = t.ones(4, 3, 2)
    for call, args in [
        (rnn.pack_padded_sequence, (x, [4, 3])),
        (rnn.pack_padded_sequence, (x, [4, 3, 0])),
        (rnn.pack_padded_sequence, (x, [3, 4, 1])),
        (rnn.pack_padded_sequence, (x, t.tensor([[4, 3, 2]]))),
        (rnn.pack_padded_sequence, (t.ones(4, 0, 2), [])),
        (rnn.pad_packed_sequence, (packed, False, 0.0, 2)),
        (rnn.pad_sequence, ([],)),
        (rnn.pad_sequence, ([t.ones(2, 3), t.ones(3, 2)],)),
        (rnn.pad_sequence, ([t.ones(2)], False, 0.0, "up")),
    ]:
        result, _ = attempt(call, *args)
        yield result[0], result[1].split("\n")[0]


class Symmetric:
    """A parametrization of either library."""

    @staticmethod
    def of(t):
        class Symmetric(t.nn.Module):
            def forward(self, x):
                return x.triu() + x.triu(1).mT

            def right_inverse(self, x):
                return x.triu()

        return Symmetric()


@scenario
def parametrizing(t):
    parametrize = t.nn.utils.parametrize
    m = t.nn.Linear(3, 3)
    weight = m.weight
    yield parametrize.register_parametrization(m, "weight", Symmetric.of(t)) is m, m, type(m)
    yield m.weight, m.parametrizations.weight.original is weight, list(m.state_dict())
    m(t.ones(1, 3)).sum().backward()
    yield m.parametrizations.weight.original.grad
    yield parametrize.is_parametrized(m), parametrize.is_parametrized(m, "bias")
    yield parametrize.type_before_parametrizations(m)
    m.weight = t.arange(9.0).view(3, 3)
    yield m.weight
    with parametrize.cached():
        yield m.weight is m.weight
    yield m.weight is m.weight
    c = copy.deepcopy(m)
    yield t.equal(c.weight, m.weight), attempt(pickle.dumps, m)
    yield attempt(parametrize.register_parametrization, m, "nothing", Symmetric.of(t))[0][0]
    parametrize.remove_parametrizations(m, "weight")
    yield m, m.weight, type(m), type(m.weight)
    yield attempt(parametrize.remove_parametrizations, m, "weight")


@scenario
def stateless_calls(t):
    m = t.nn.Linear(2, 1)
    before = m.weight
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        call = t.nn.utils.stateless.functional_call
        yield call(m, {"weight": t.ones(1, 2), "bias": t.zeros(1)}, t.ones(2)), m.weight is before
        yield attempt(call, m, {"weight": t.ones(1, 2)}, t.ones(2), strict=True)
        yield attempt(call, m, {"nothing": t.ones(1, 2), "bias": t.ones(1)}, t.ones(2), strict=True)
        tied = t.nn.ModuleList([m])
        tied.w = m.weight
        yield attempt(call, tied, {"w": t.ones(1, 2), "0.weight": t.zeros(1, 2)}, t.ones(2))


@scenario
def fusing(t):
    conv, norm = t.nn.Conv2d(2, 3, 1), t.nn.BatchNorm2d(3)
    norm(conv(t.arange(32.0).view(2, 2, 2, 4) / 10))
    fused = t.nn.utils.fuse_conv_bn_eval(conv.eval(), norm.eval())
    x = t.arange(16.0).view(1, 2, 2, 4) / 10
    yield fused, bool(t.allclose(fused(x), norm(conv(x)), atol=1e-5))
    yield attempt(t.nn.utils.fuse_conv_bn_eval, conv.train(), norm)


@scenario
def pruning(t):
    prune = importlib.import_module(f"{t.__name__}.nn.utils.prune")
    m = t.nn.Linear(4, 3)
    weight = m.weight
    yield prune.l1_unstructured(m, "weight", amount=5) is m, m.weight, m.weight_mask, m.weight_orig is weight
    yield list(m.state_dict()), [name for name, _ in m.named_parameters()], prune.is_pruned(m)
    prune.ln_structured(m, "weight", amount=1, n=2, dim=0)
    yield m.weight, m.weight_mask, len(m._forward_pre_hooks)
    m(t.ones(1, 4)).sum().backward()
    yield m.weight_orig.grad
    prune.random_unstructured(m, "bias", amount=0.5)
    yield m.bias_mask
    prune.remove(m, "weight")
    yield m.weight, type(m.weight), m.weight is weight, attempt(prune.remove, m, "weight")
    other = t.nn.Linear(4, 3)
    prune.global_unstructured([(m, "weight"), (other, "weight")], prune.L1Unstructured, amount=0.4)
    yield m.weight_mask, other.weight_mask
    prune.custom_from_mask(other, "bias", t.tensor([1, 0, 1]))
    prune.random_structured(other, "weight", 2, dim=1)
    yield other.bias, other.weight
    for call in (
        lambda: prune.l1_unstructured(t.nn.Linear(2, 2), "weight", amount=5),
        lambda: prune.l1_unstructured(t.nn.Linear(2, 2), "weight", amount=-1),
        lambda: prune.l1_unstructured(t.nn.Linear(2, 2), "weight", amount=1.5),
        lambda: prune.l1_unstructured(t.nn.Linear(2, 2), "weight", amount="x"),
        lambda: prune.ln_structured(t.nn.Linear(2, 2), "bias", amount=1, n=2, dim=0),
        lambda: prune.ln_structured(t.nn.Linear(2, 2), "weight", amount=1, n=2, dim=3),
    ):
        yield attempt(call)
    yield prune.L1Unstructured(amount=2).prune(t.tensor([1.0, -3.0, 2.0, 0.5]))


@scenario
def data_parallel(t):
    m = t.nn.DataParallel(t.nn.Linear(2, 1))
    yield m, list(m.state_dict()), m(t.ones(3, 2)).shape, m.device_ids


@scenario
def normalized_weights(t):
    m = t.nn.utils.parametrizations.weight_norm(t.nn.Linear(3, 2))
    yield m, list(m.state_dict()), m.weight
    m(t.ones(1, 3)).sum().backward()
    yield [p.grad for p in m.parameters()]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        old = t.nn.utils.weight_norm(t.nn.Linear(3, 2), dim=None)
    yield old, list(old.state_dict()), old(t.ones(1, 3)), [name for name, _ in old.named_parameters()]
    t.nn.utils.remove_weight_norm(old)
    yield [name for name, _ in old.named_parameters()], attempt(t.nn.utils.remove_weight_norm, old)


@scenario
def spectral_norms(t):
    m = t.nn.utils.parametrizations.spectral_norm(t.nn.Linear(3, 2), n_power_iterations=3)
    yield list(m.state_dict()), m(t.ones(1, 3)), t.linalg.matrix_norm(m.eval().weight, 2)
    old = t.nn.utils.spectral_norm(t.nn.Conv2d(2, 3, 2))
    yield list(old.state_dict()), dict(old.state_dict()._metadata), old(t.ones(1, 2, 3, 3))
    yield t.nn.utils.spectral_norm(t.nn.Conv2d(2, 3, 2)).load_state_dict(old.state_dict())
    t.nn.utils.remove_spectral_norm(old)
    yield [name for name, _ in old.named_parameters()], attempt(t.nn.utils.remove_spectral_norm, old)


@scenario
def orthogonal_weights(t):
    for kind in ("matrix_exp", "cayley", "householder"):
        for shape in ((3, 3), (2, 4), (4, 2)):
            m = t.nn.utils.parametrizations.orthogonal(t.nn.Linear(*shape), orthogonal_map=kind)
            w = m.weight
            gram = w @ w.mT if w.size(0) < w.size(1) else w.mT @ w
            yield bool(t.allclose(gram, t.eye(gram.size(0)), atol=1e-5)), list(m.state_dict())
    yield attempt(t.nn.utils.parametrizations.orthogonal, t.nn.Linear(2, 2), "bias")
    yield attempt(t.nn.utils.parametrizations.orthogonal, t.nn.Linear(2, 2), orthogonal_map="other")[0][0]


@scenario
def gradients_of_convolutions(t):
    x, w = t.arange(32.0).view(1, 2, 4, 4), t.arange(36.0).view(2, 2, 3, 3)
    grad = t.ones(1, 2, 2, 2)
    gradients = importlib.import_module(f"{t.__name__}.nn.grad")
    yield gradients.conv2d_input(x.shape, w, grad), gradients.conv2d_weight(x, w.shape, grad)
    yield gradients.conv1d_input((1, 3, 4), w[0], t.ones(1, 2, 2))


@scenario
def factory_kwargs(t):
    f = t.nn.factory_kwargs
    yield f(None), f({"device": "cpu"}), f({"factory_kwargs": {"dtype": 1}}), attempt(f, {"x": 1})
    yield attempt(f, {"device": "cpu", "factory_kwargs": {"device": "cpu"}})


@pytest.mark.parametrize("run", SCENARIOS, ids=lambda run: run.__name__)
def test_scenario(run):
    compare(run)
