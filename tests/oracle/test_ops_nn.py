"""The operators of ``torch.nn.functional`` agree with native torch: samples, special points, random numbers."""

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from oracle import (  # noqa: E402
    OWN_ORDER,
    array_of,
    assert_same,
    check,
    check_samples,
    check_second_derivatives,
    loosen,
    operator,
    ours,
    tier,
    words,
)

import torchlike  # noqa: E402

# Sums over many products in another order, of samples that are up to nine in size.
for _name in ("conv1d", "conv2d", "conv3d", "conv_transpose1d", "conv_transpose2d", "conv_transpose3d", "bilinear"):
    loosen(f"nn.functional.{_name}", "float32", 1e-3, 1e-3)
    loosen(f"nn.functional.{_name}", "complex64", 1e-3, 1e-3)
# Products of numbers of which some are far from zero go into exponentials.
for _name in ("scaled_dot_product_attention", "multi_head_attention_forward", "ctc_loss"):
    loosen(f"nn.functional.{_name}", "float32", 1e-3, 2e-3)
# Divided by standard deviations of few elements.
for _name in ("layer_norm", "group_norm", "instance_norm", "batch_norm", "rms_norm"):
    loosen(f"nn.functional.{_name}", "float32", 1e-3, 5e-5)
for _name in ("cosine_similarity", "pdist", "normalize", "local_response_norm", "grid_sample"):
    loosen(f"nn.functional.{_name}", "float32", 1e-4, 1e-4)
loosen("cdist", "float32", 1e-3, 1e-4)
# Native rounds after each of several steps, here the result is rounded once.
for _name in ("conv2d", "layer_norm", "group_norm", "batch_norm", "rms_norm", "avg_pool2d", "mse_loss"):
    loosen(f"nn.functional.{_name}", "bfloat16", 3e-2, 2e-2)


def weight_first(function):
    """A look-up as native's table calls it."""
    return lambda weight, numbers, *args, **kwargs: function(numbers, weight, *args, **kwargs)


for _name in ("nn.functional.embedding", "nn.functional.embedding_bag"):
    OWN_ORDER[_name] = weight_first(operator(_name))

FUNCTIONS = words(
    """
    adaptive_avg_pool1d adaptive_avg_pool2d adaptive_avg_pool3d adaptive_max_pool1d adaptive_max_pool2d
    adaptive_max_pool3d avg_pool1d avg_pool2d avg_pool3d max_pool1d max_pool2d max_pool3d max_unpool1d max_unpool2d
    max_unpool3d batch_norm instance_norm layer_norm group_norm rms_norm local_response_norm normalize conv1d conv2d
    conv3d conv_transpose1d conv_transpose2d conv_transpose3d unfold embedding embedding_bag one_hot pad interpolate
    upsample_nearest upsample_bilinear grid_sample pixel_shuffle pixel_unshuffle channel_shuffle bilinear
    cosine_similarity pairwise_distance pdist mse_loss l1_loss smooth_l1_loss huber_loss binary_cross_entropy
    binary_cross_entropy_with_logits kl_div poisson_nll_loss gaussian_nll_loss hinge_embedding_loss
    margin_ranking_loss cosine_embedding_loss triplet_margin_loss soft_margin_loss multilabel_margin_loss
    multilabel_soft_margin_loss multi_margin_loss ctc_loss cross_entropy nll_loss
    """
)


@pytest.mark.parametrize("name", [*[f"nn.functional.{name}" for name in FUNCTIONS], "cdist"])
def test_samples(name):
    check_samples(name, ("float64", "int64"), 3)
    check_samples(name, ("float32", "int64", "complex64"), 1)


@pytest.mark.parametrize("name", words("conv2d layer_norm rms_norm avg_pool2d max_pool2d mse_loss"))
def test_half_precision_is_computed_in_single(name):
    check_samples(f"nn.functional.{name}", ("bfloat16",), 2, gradients=False, node=False)


@pytest.mark.parametrize("name", words("conv2d max_pool2d batch_norm layer_norm embedding mse_loss avg_pool2d pad"))
def test_both_tiers(name):
    for each in ("host", "xla"):
        with tier(each):
            check_samples(f"nn.functional.{name}", ("float32",), 1)


DIFFERENTIATED_TWICE = words(
    """
    conv1d conv2d conv_transpose2d batch_norm layer_norm group_norm instance_norm rms_norm avg_pool2d max_pool2d
    adaptive_avg_pool2d mse_loss smooth_l1_loss binary_cross_entropy_with_logits interpolate pad
    cosine_similarity bilinear local_response_norm
    """
)


@pytest.mark.parametrize("name", DIFFERENTIATED_TWICE)
def test_second_derivatives(name):
    check_second_derivatives(f"nn.functional.{name}", 1)


# Random numbers.


def seeded(function):
    def run(*args, **kwargs):
        torch.manual_seed(7)
        torchlike.manual_seed(7)
        return function(*args, **kwargs)

    return run


def randn(*shape, requires_grad=True, seed=0, dtype=torch.float32):
    values = np.random.default_rng(seed).standard_normal(shape)
    return torch.from_numpy(values).to(dtype).requires_grad_(requires_grad)


def same(name, *args, seeds=False, **kwargs):
    """``check`` a function of ``nn.functional``."""
    functions = getattr(torch.nn.functional, name), getattr(torchlike.nn.functional, name)
    check(f"nn.functional.{name}", *[seeded(f) if seeds else f for f in functions], args, kwargs)


IMAGE = randn(2, 4, 6, 5)


@pytest.mark.parametrize(
    "name, kwargs",
    [
        ("dropout", {"p": 0.3}), ("dropout", {"p": 1.0}), ("dropout", {"p": 0.0}), ("dropout", {"training": False}),
        ("dropout2d", {"p": 0.4}), ("dropout3d", {"p": 0.4}), ("alpha_dropout", {"p": 0.4, "training": True}),
        ("feature_alpha_dropout", {"p": 0.4, "training": True}), ("feature_alpha_dropout", {"p": 0.4}),
        ("rrelu", {"training": True}), ("rrelu", {}), ("gumbel_softmax", {}), ("gumbel_softmax", {"hard": True}),
        ("fractional_max_pool2d", {"kernel_size": 2, "output_size": 3}),
        ("fractional_max_pool2d", {"kernel_size": 2, "output_ratio": (0.5, 0.6), "return_indices": True}),
    ],
)  # fmt: skip
def test_random_functions_draw_as_native_does(name, kwargs):
    same(name, IMAGE, seeds=True, **kwargs)


def test_channels_are_dropped_of_signals_without_a_batch():
    same("dropout1d", randn(5, 8), p=0.5, seeds=True)


def test_dropout_in_place():
    for library in (torch, torchlike):
        x = library.ones(3, 4)
        assert library.nn.functional.dropout(x, 0.5, inplace=True) is x


def test_attention_with_dropout_draws_as_native_does():
    q, k, v = (randn(2, 3, 5, 4, seed=s) for s in range(3))
    same("scaled_dot_product_attention", q, k, v, dropout_p=0.4, seeds=True)


# Normalization.


@pytest.mark.parametrize("momentum", [0.1, 0.7])
@pytest.mark.parametrize("name", ["batch_norm", "instance_norm"])
def test_running_statistics_move(name, momentum):
    def run(library):
        function = getattr(library.nn.functional, name)
        mean, var = library.zeros(4), library.ones(4)

        def apply(x, weight, bias):
            out = function(x, mean, var, weight, bias, True, momentum)
            return out, mean.clone(), var.clone(), mean._version, var._version

        return apply

    check(f"nn.functional.{name}", run(torch), run(torchlike), [IMAGE, randn(4, seed=1), randn(4, seed=2)])


def test_statistics_of_numbers_far_from_zero():
    x = randn(8, 3, 4, requires_grad=False) * 0.1 + 10
    same("batch_norm", x, None, None, training=True)
    same("layer_norm", x, (4,))


# Pooling: which of equal elements, and NaN.


@pytest.mark.parametrize("kernel, stride, padding", [(2, 2, 0), (3, 2, 1), (3, 1, 1), (2, 1, 0)])
def test_the_first_of_equal_elements_is_the_maximum(kernel, stride, padding):
    x = torch.tensor([[0.0, 0, 1, 1, 0], [0, 0, 1, 1, 2], [3, 3, 2, 2, 2], [3, 0, 0, 0, 0]])[None].requires_grad_()
    same("max_pool2d", x, kernel, stride, padding)
    same("max_pool2d", x, kernel, stride, padding, return_indices=True)
    same("adaptive_max_pool2d", x, (3, 2), return_indices=True)


def test_nan_is_the_maximum():
    x = torch.tensor([[1.0, float("nan"), 2.0, 0.0], [float("nan"), 3.0, float("-inf"), float("-inf")]])[None, None]
    same("max_pool2d", x, 2, return_indices=True)
    same("max_pool1d", x[0], 2)


def test_pooling_with_large_windows():
    x = randn(1, 2, 13, 13)
    same("max_pool2d", x, 7, 1, 3)
    same("max_pool2d", x, 7, 3, 3, ceil_mode=True, return_indices=True)
    same("adaptive_max_pool2d", x, 1)


# Convolutions by each of the ways there are for them.


@pytest.mark.parametrize(
    "channels, out, kernel, options",
    [
        (4, 6, 1, {}), (4, 6, 1, {"stride": 2}), (4, 4, 3, {"groups": 4, "padding": 1}), (4, 8, 3, {"groups": 4}),
        (8, 8, 4, {"groups": 8, "stride": 2}), (4, 6, 3, {"groups": 2, "padding": 1}), (12, 12, 2, {"groups": 6}),
        (20, 3, 3, {"padding": 2, "dilation": 2}), (3, 5, 3, {}), (20, 4, 3, {"stride": 2}),
        (2, 3, 2, {"padding": "same"}),
    ],
)  # fmt: skip
def test_convolutions(channels, out, kernel, options):
    groups = options.get("groups", 1)
    x, weight = randn(2, channels, 7, 6), randn(out, channels // groups, kernel, kernel, seed=1)
    for each in ("host", "xla"):
        with tier(each):
            same("conv2d", x, weight, randn(out, seed=2), **options)
    if options.get("padding") != "same":
        options = {**options, "padding": min(options.get("padding", 0), 1)}
        same("conv_transpose2d", x, randn(channels, out // groups, kernel, kernel, seed=1), None, **options)


# Recurrent networks.


def _parameters(gates, size, features, layers, directions, biases):
    result = []
    for layer in range(layers):
        for _ in range(directions):
            inputs = features if layer == 0 else size * directions
            shapes = [(gates * size, inputs), (gates * size, size)]
            shapes += [(gates * size,), (gates * size,)] if biases else []
            result += [randn(*shape, seed=len(result) + i) * 0.5 for i, shape in enumerate(shapes)]
    return result


@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize("layers, directions, biases", [(1, 1, True), (2, 2, True), (2, 1, False)])
@pytest.mark.parametrize("mode, gates", [("lstm", 4), ("gru", 3), ("rnn_tanh", 1), ("rnn_relu", 1)])
def test_recurrent_networks(mode, gates, layers, directions, biases, packed):
    size, batch = 3, 2
    parameters = _parameters(gates, size, 4, layers, directions, biases)
    state = randn(layers * directions, batch, size, seed=50)
    state = (state, randn(layers * directions, batch, size, seed=51)) if mode == "lstm" else state
    settings = [biases, layers, 0.4 if not packed else 0.0, True, directions == 2]
    if packed:
        args = [randn(5, 4, seed=52), torch.tensor([2, 2, 1]), state, parameters, *settings]
    else:
        args = [randn(batch, 4, 4, seed=52), state, parameters, *settings, True]
    check(mode, seeded(getattr(torch._VF, mode)), seeded(getattr(torchlike, mode)), args)


@pytest.mark.parametrize("name, gates", [("lstm_cell", 4), ("gru_cell", 3), ("rnn_tanh_cell", 1), ("rnn_relu_cell", 1)])
def test_recurrent_cells(name, gates):
    h = randn(2, 3, seed=1)
    state = (h, randn(2, 3, seed=2)) if name == "lstm_cell" else h
    weights = [
        randn(gates * 3, 4, seed=3),
        randn(gates * 3, 3, seed=4),
        randn(gates * 3, seed=5),
        randn(gates * 3, seed=6),
    ]
    check(name, getattr(torch, name), getattr(torchlike, name), [randn(2, 4), state, *weights])


# Attention.


@pytest.mark.parametrize(
    "kwargs",
    [
        {}, {"is_causal": True}, {"scale": 0.3}, {"attn_mask": torch.rand(5, 6) > 0.4},
        {"attn_mask": torch.zeros(5, 6, dtype=torch.bool)}, {"attn_mask": torch.full((5, 6), float("-inf"))},
        {"attn_mask": randn(2, 1, 5, 6, requires_grad=False)},
    ],
)  # fmt: skip
def test_attention(kwargs):
    q, k, v = randn(2, 3, 5, 4), randn(2, 3, 6, 4, seed=1), randn(2, 3, 6, 4, seed=2)
    same("scaled_dot_product_attention", q, k, v, **kwargs)


def test_attention_of_other_ranks_and_of_shared_heads():
    for lead in ((), (2,), (1, 2, 3)):
        shapes = [(*lead, 5, 4), (*lead, 6, 4), (*lead, 6, 7)]
        same("scaled_dot_product_attention", *[randn(*s, seed=i) for i, s in enumerate(shapes)])
    q, k, v = randn(2, 6, 5, 4), randn(2, 3, 6, 4, seed=1), randn(2, 3, 6, 4, seed=2)
    same("scaled_dot_product_attention", q, k, v, enable_gqa=True)


@pytest.mark.parametrize(
    "kwargs",
    [
        {"need_weights": False}, {"average_attn_weights": False}, {"add_zero_attn": True},
        {"key_padding_mask": torch.tensor([[False, True, False]] * 2)},
        {"attn_mask": torch.ones(4, 3).triu(2).bool(), "need_weights": False},
        {"attn_mask": randn(4, 4, 3, requires_grad=False), "key_padding_mask": torch.tensor([[False, True, False]] * 2)},
        {"bias_k": randn(1, 1, 6, seed=8), "bias_v": randn(1, 1, 6, seed=9)}, {"dropout_p": 0.5},
    ],
)  # fmt: skip
def test_many_heads(kwargs):
    query, key = randn(4, 2, 6), randn(3, 2, 6, seed=1)
    given = {"bias_k": None, "bias_v": None, "add_zero_attn": False, "dropout_p": 0.0, **kwargs}
    weights = {
        "in_proj_weight": randn(18, 6, seed=2) * 0.3, "in_proj_bias": randn(18, seed=3),
        "out_proj_weight": randn(6, 6, seed=4) * 0.3, "out_proj_bias": randn(6, seed=5),
    }  # fmt: skip
    same("multi_head_attention_forward", query, key, key, 6, 2, **weights, **given, seeds=True)


# Embeddings.


def test_rows_whose_norm_is_too_large_are_scaled_down():
    def run(library):
        def apply(weight, numbers):
            out = library.nn.functional.embedding(numbers, weight, max_norm=0.9, norm_type=3.0)
            return out, weight.clone()

        return apply

    check("embedding", run(torch), run(torchlike), [randn(5, 3, requires_grad=False), torch.tensor([[1, 2], [1, 4]])])


@pytest.mark.parametrize("mode", ["sum", "mean", "max"])
def test_bags_with_empty_ones_and_padding(mode):
    numbers, offsets = torch.tensor([1, 2, 4, 2, 2, 0]), torch.tensor([0, 2, 2, 5])
    same("embedding_bag", numbers, randn(5, 3), offsets, mode=mode)
    same("embedding_bag", numbers, randn(5, 3), offsets, mode=mode, padding_idx=2)
    same("embedding_bag", numbers.view(2, 3), randn(5, 3), mode=mode)


# What is left.


def test_other_functions():
    same("affine_grid", randn(2, 2, 3), [2, 3, 4, 5], align_corners=False)
    same("affine_grid", randn(2, 3, 4), [2, 3, 4, 5, 2], align_corners=True)
    same("fold", randn(2, 12, 6), (4, 3), (2, 2), stride=1)
    same("fold", randn(12, 9), (5, 5), 2, dilation=2, padding=0)
    same("lp_pool1d", randn(2, 3, 8).abs().detach().requires_grad_(), 2, 3)
    same("lp_pool2d", IMAGE.detach().abs().requires_grad_(), 3, 2, stride=1)
    same("lp_pool2d", IMAGE, float("inf"), 2)
    same("conv_tbc", randn(5, 2, 3), randn(2, 3, 4, seed=1), randn(4, seed=2), 1)
    same("linear_cross_entropy", randn(3, 4), randn(5, 4, seed=1), torch.tensor([1, 4, 0]))
    same("fractional_max_pool3d", randn(1, 2, 5, 5, 5), 2, 3, return_indices=True, seeds=True)
    same("triplet_margin_with_distance_loss", *[randn(3, 4, seed=s) for s in range(3)], swap=True)


def test_every_function_is_there_with_its_signature():
    import inspect

    missing, different = [], []
    for name in dir(torch.nn.functional):
        native = getattr(torch.nn.functional, name)
        if name.startswith("_") or not callable(native) or isinstance(native, type):
            continue
        if not getattr(native, "__module__", "torch").startswith(("torch.nn.functional", "torch._C._nn", "torch")):
            continue
        function = getattr(torchlike.nn.functional, name, None)
        if function is None:
            missing.append(name)
            continue
        try:
            expected = [(p.name, p.default) for p in inspect.signature(native).parameters.values()]
        except ValueError:
            continue
        found = [(p.name, p.default) for p in inspect.signature(function).parameters.values()]
        if expected[0][0] != "args" and found != expected and name != "glu":
            different.append(name)
    assert not different
    known = {"assert_int_or_pair", "boolean_dispatch", "grouped_mm", "scaled_mm", "scaled_grouped_mm"}
    assert {name for name in missing if "torch_function" not in name} <= known


def test_accelerated_names_of_torch():
    a, b = randn(3, 4), randn(3, 4, seed=1, requires_grad=False).sigmoid()
    for name, args in (
        ("kl_div", [a, b]), ("binary_cross_entropy_with_logits", [a, b]), ("hinge_embedding_loss", [a, b.sign()]),
        ("margin_ranking_loss", [a, b, b]), ("triplet_margin_loss", [a, b, a]), ("threshold", [a, 0.1, 2.0]),
        ("convolution", [IMAGE, randn(3, 4, 3, 3), None, [1, 1], [0, 0], [1, 1], False, [0, 0], 1]),
        ("native_layer_norm", [IMAGE, [5], randn(5), randn(5), 1e-5]), ("rms_norm", [IMAGE, [5]]),
        ("batch_norm", [IMAGE, None, None, None, None, True, 0.1, 1e-5, True]), ("conv1d", [a[None], randn(2, 3, 2)]),
        ("max_pool1d_with_indices", [a, 2]), ("pairwise_distance", [a, b]), ("dropout", [a, 0.5, True]),
    ):  # fmt: skip
        check(name, seeded(getattr(torch, name)), seeded(getattr(torchlike, name)), args, node=name[:6] != "native")


def test_values_are_native_s_to_the_bit_where_nothing_is_summed():
    x = randn(2, 3, 4, 4, requires_grad=False)
    for name, args in (("max_pool2d", (2,)), ("pixel_shuffle", (1,)), ("pad", ((1, 1),)), ("interpolate", (8,))):
        expected = getattr(torch.nn.functional, name)(x, *args)
        actual = getattr(torchlike.nn.functional, name)(ours(x), *args)
        assert np.array_equal(array_of(actual), array_of(expected))
        assert_same(actual, expected)
