"""Every layer agrees with native torch: signature, text, weights under one seed, state, outputs and gradients."""

import copy
import inspect
import warnings

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from oracle import array_of, assert_same_error, assert_same_gradients, loosen, ours, outcome, tensors_in  # noqa: E402

import torchlike  # noqa: E402

F32 = "float32"
# Sums over hundreds of products in another order.
for layer in ("Conv1d", "Conv2d", "Conv3d", "ConvTranspose1d", "ConvTranspose2d", "ConvTranspose3d", "Linear"):
    loosen(layer, F32, 1e-4, 1e-5)
for layer in ("LSTM", "GRU", "RNN", "Transformer", "TransformerEncoder", "TransformerDecoder", "MultiheadAttention"):
    loosen(layer, F32, 1e-3, 2e-5)
for layer in ("TransformerEncoderLayer", "TransformerDecoderLayer", "Bilinear", "CTCLoss"):
    loosen(layer, F32, 1e-3, 2e-5)
# Divided by standard deviations of few elements.
for layer in ("BatchNorm", "InstanceNorm", "LayerNorm", "GroupNorm", "RMSNorm", "SyncBatchNorm"):
    loosen(layer, F32, 1e-3, 5e-5)


def randn(*shape, seed=0, requires_grad=True):
    values = np.random.default_rng(seed).standard_normal(shape).astype(np.float32)
    return torch.from_numpy(values).requires_grad_(requires_grad)


def rand(*shape, seed=0, requires_grad=True):
    values = np.random.default_rng(seed).random(shape).astype(np.float32)
    return torch.from_numpy(values).requires_grad_(requires_grad)


def randint(high, *shape, seed=0):
    return torch.from_numpy(np.random.default_rng(seed).integers(0, high, shape))


def signs(*shape, seed=0):
    return torch.from_numpy(np.random.default_rng(seed).choice([-1.0, 1.0], shape).astype(np.float32))


def mask(*shape, seed=0):
    return torch.from_numpy(np.random.default_rng(seed).random(shape) < 0.3)


X = randn(4, 6)
SIGNAL = randn(2, 4, 9)
IMAGE = randn(2, 4, 7, 8)
VOLUME = randn(2, 4, 5, 6, 4)

# (layer, constructor's arguments, keyword arguments, inputs)
ACTIVATIONS = [
    *[
        (name, args, kwargs, (X,))
        for name, args, kwargs in [
            ("CELU", (), {}),
            ("CELU", (0.5,), {}),
            ("ELU", (), {}),
            ("ELU", (0.7,), {}),
            ("GELU", (), {}),
            ("GELU", (), {"approximate": "tanh"}),
            ("GLU", (), {}),
            ("GLU", (1,), {}),
            ("Hardshrink", (), {}),
            ("Hardsigmoid", (), {}),
            ("Hardswish", (), {}),
            ("Hardtanh", (), {}),
            ("Hardtanh", (-0.5, 0.3), {}),
            ("Identity", (3, "anything"), {"key": 1}),
            ("LeakyReLU", (), {}),
            ("LeakyReLU", (0.2,), {}),
            ("LogSigmoid", (), {}),
            ("LogSoftmax", (1,), {}),
            ("Mish", (), {}),
            ("PReLU", (), {}),
            ("PReLU", (6,), {"init": 0.1}),
            ("ReLU", (), {}),
            ("ReLU6", (), {}),
            ("SELU", (), {}),
            ("SiLU", (), {}),
            ("Sigmoid", (), {}),
            ("Softmax", (), {"dim": -1}),
            ("Softmin", (), {"dim": 0}),
            ("Softplus", (), {}),
            ("Softplus", (2.0, 1.0), {}),
            ("Softshrink", (), {}),
            ("Softsign", (), {}),
            ("Tanh", (), {}),
            ("Tanhshrink", (), {}),
            ("Threshold", (0.1, 20.0), {}),
        ]
    ],
    *[(name, (True,), {}, (X.detach(),)) for name in ("ReLU", "ReLU6", "SELU", "SiLU", "Mish", "Hardswish")],
    ("Softmax2d", (), {}, (IMAGE,)),
    ("Softmax2d", (), {}, (X,)),
    ("RReLU", (), {}, (X,)),
]

SHAPES = [
    ("Flatten", (), {}, (IMAGE,)),
    ("Flatten", (0, 2), {}, (IMAGE,)),
    ("Unflatten", (1, (2, 3)), {}, (X,)),
    ("Unflatten", (1, [3, -1]), {}, (X,)),
    ("PixelShuffle", (2,), {}, (IMAGE,)),
    ("PixelUnshuffle", (2,), {}, (randn(2, 3, 4, 6),)),
    ("ChannelShuffle", (2,), {}, (IMAGE,)),
    ("Upsample", (), {"scale_factor": 2}, (IMAGE,)),
    ("Upsample", (), {"size": (10, 11), "mode": "bilinear"}, (IMAGE,)),
    ("Upsample", (), {"scale_factor": (2, 3), "mode": "bilinear", "align_corners": True}, (IMAGE,)),
    ("UpsamplingNearest2d", (), {"scale_factor": 3}, (IMAGE,)),
    ("UpsamplingBilinear2d", (12,), {}, (IMAGE,)),
    ("Fold", ((4, 5),), {"kernel_size": (2, 2)}, (randn(2, 12, 12),)),
    ("Unfold", ((2, 3),), {"padding": 1, "stride": 2}, (IMAGE,)),
    ("CircularPad1d", (2,), {}, (SIGNAL,)),
    ("CircularPad2d", ((1, 2, 0, 3),), {}, (IMAGE,)),
    ("CircularPad3d", (1,), {}, (VOLUME,)),
    ("ConstantPad1d", ((3, 1), 3.5), {}, (SIGNAL,)),
    ("ConstantPad2d", (2, 3.5), {}, (IMAGE,)),
    ("ConstantPad3d", (1, -1), {}, (VOLUME,)),
    ("ReflectionPad1d", (2,), {}, (SIGNAL,)),
    ("ReflectionPad2d", ((1, 1, 2, 0),), {}, (IMAGE,)),
    ("ReflectionPad3d", (1,), {}, (VOLUME,)),
    ("ReplicationPad1d", (2,), {}, (SIGNAL,)),
    ("ReplicationPad2d", ((1, 1, 2, 0),), {}, (IMAGE,)),
    ("ReplicationPad3d", (1,), {}, (VOLUME,)),
    ("ZeroPad1d", (2,), {}, (SIGNAL,)),
    ("ZeroPad2d", ((1, 1, 2, 0),), {}, (IMAGE,)),
    ("ZeroPad3d", (1,), {}, (VOLUME,)),
    ("CosineSimilarity", (), {}, (X, randn(4, 6, seed=1))),
    ("CosineSimilarity", (0, 1e-3), {}, (X, randn(4, 6, seed=1))),
    ("PairwiseDistance", (), {}, (X, randn(4, 6, seed=1))),
    ("PairwiseDistance", (1.0,), {"keepdim": True}, (X, randn(4, 6, seed=1))),
]

LINEAR = [
    ("Linear", (6, 3), {}, (X,)),
    ("Linear", (6, 3), {"bias": False}, (randn(2, 3, 6),)),
    ("Linear", (6, 3), {"dtype": "float64"}, (X.detach().double().requires_grad_(),)),
    ("Bilinear", (6, 5, 3), {}, (X, randn(4, 5))),
    ("Bilinear", (6, 5, 3), {"bias": False}, (X, randn(4, 5))),
    ("Embedding", (10, 3), {}, (randint(10, 2, 5),)),
    ("Embedding", (10, 3), {"padding_idx": 0}, (randint(10, 2, 5),)),
    ("Embedding", (10, 3), {"padding_idx": -1, "scale_grad_by_freq": True}, (randint(10, 20),)),
    ("Embedding", (10, 3), {"max_norm": 1.0, "norm_type": 1.0}, (randint(10, 2, 5),)),
    ("EmbeddingBag", (10, 3), {}, (randint(10, 2, 5),)),
    ("EmbeddingBag", (10, 3), {"mode": "sum", "padding_idx": 1}, (randint(10, 9), torch.tensor([0, 4, 6]))),
    ("EmbeddingBag", (10, 3), {"mode": "max"}, (randint(10, 9), torch.tensor([0, 4, 6]))),
]

CONVOLUTIONS = [
    ("Conv1d", (4, 6, 3), {}, (SIGNAL,)),
    ("Conv1d", (4, 6, 3), {"stride": 2, "padding": 1, "dilation": 2, "groups": 2, "bias": False}, (SIGNAL,)),
    ("Conv1d", (4, 6, 4), {"padding": "same"}, (SIGNAL,)),
    ("Conv1d", (4, 6, 3), {"padding": 2, "padding_mode": "circular"}, (SIGNAL,)),
    ("Conv2d", (4, 6, 3), {}, (IMAGE,)),
    ("Conv2d", (4, 6, (3, 2)), {"stride": (2, 1), "padding": (1, 0), "groups": 2}, (IMAGE,)),
    ("Conv2d", (4, 4, 3), {"padding": "same", "groups": 4, "dilation": 2}, (IMAGE,)),
    ("Conv2d", (4, 6, 3), {"padding": "same", "padding_mode": "reflect"}, (IMAGE,)),
    ("Conv2d", (4, 6, 3), {"padding": 1, "padding_mode": "replicate"}, (randn(4, 7, 8),)),
    ("Conv3d", (4, 6, 3), {"padding": 1}, (VOLUME,)),
    ("Conv3d", (4, 2, 2), {"padding": "valid", "bias": False}, (VOLUME,)),
    ("ConvTranspose1d", (4, 6, 3), {"stride": 2, "padding": 1, "output_padding": 1}, (SIGNAL,)),
    ("ConvTranspose2d", (4, 6, 3), {"stride": 2, "groups": 2, "dilation": 2}, (IMAGE,)),
    ("ConvTranspose2d", (4, 6, 4), {"stride": 2, "padding": 1, "bias": False}, (IMAGE,)),
    ("ConvTranspose2d", (4, 6, 3), {"stride": 2}, (IMAGE, [16, 17])),
    ("ConvTranspose2d", (4, 6, 3), {"stride": 2}, (IMAGE, [16, 19])),
    ("ConvTranspose3d", (4, 2, 3), {"stride": 2}, (VOLUME,)),
]

POOLS = [
    ("MaxPool1d", (2,), {}, (SIGNAL,)),
    ("MaxPool1d", (3,), {"stride": 2, "padding": 1, "return_indices": True}, (SIGNAL,)),
    ("MaxPool2d", (2,), {}, (IMAGE,)),
    ("MaxPool2d", ((3, 2),), {"stride": (2, 1), "ceil_mode": True, "padding": (1, 0)}, (IMAGE,)),
    ("MaxPool2d", (2,), {"dilation": 2, "return_indices": True}, (IMAGE,)),
    ("MaxPool3d", (2,), {}, (VOLUME,)),
    ("AvgPool1d", (3,), {"stride": 2, "padding": 1, "count_include_pad": False}, (SIGNAL,)),
    ("AvgPool2d", (2,), {}, (IMAGE,)),
    ("AvgPool2d", (3,), {"padding": 1, "ceil_mode": True, "divisor_override": 2}, (IMAGE,)),
    ("AvgPool3d", (2,), {"ceil_mode": True}, (VOLUME,)),
    ("LPPool1d", (2, 3), {}, (rand(2, 4, 9),)),
    ("LPPool2d", (3, 2), {"stride": 1}, (rand(2, 4, 7, 8),)),
    ("LPPool3d", (2, 2), {}, (rand(2, 4, 5, 6, 4),)),
    ("AdaptiveMaxPool1d", (4,), {}, (SIGNAL,)),
    ("AdaptiveMaxPool2d", ((3, None),), {"return_indices": True}, (IMAGE,)),
    ("AdaptiveMaxPool3d", (2,), {}, (VOLUME,)),
    ("AdaptiveAvgPool1d", (4,), {}, (SIGNAL,)),
    ("AdaptiveAvgPool2d", (1,), {}, (IMAGE,)),
    ("AdaptiveAvgPool2d", ((3, 5),), {}, (IMAGE,)),
    ("AdaptiveAvgPool3d", ((None, 2, 3),), {}, (VOLUME,)),
    ("FractionalMaxPool2d", (2,), {"output_size": 3, "_random_samples": rand(2, 4, 2).detach()}, (IMAGE,)),
    ("FractionalMaxPool3d", (2,), {"output_ratio": 0.5, "_random_samples": rand(2, 4, 3).detach()}, (VOLUME,)),
]

NORMS = [
    ("BatchNorm1d", (6,), {}, (X,)),
    ("BatchNorm1d", (4,), {"momentum": None}, (SIGNAL,)),
    ("BatchNorm2d", (4,), {}, (IMAGE,)),
    ("BatchNorm2d", (4,), {"affine": False, "track_running_stats": False}, (IMAGE,)),
    ("BatchNorm2d", (4,), {"bias": False, "eps": 1e-3, "momentum": 0.3}, (IMAGE,)),
    ("BatchNorm3d", (4,), {}, (VOLUME,)),
    ("SyncBatchNorm", (4,), {}, (IMAGE,)),
    ("InstanceNorm1d", (4,), {}, (SIGNAL,)),
    ("InstanceNorm2d", (4,), {"affine": True, "track_running_stats": True}, (IMAGE,)),
    ("InstanceNorm2d", (4,), {}, (randn(4, 7, 8),)),
    ("InstanceNorm3d", (4,), {"affine": True}, (VOLUME,)),
    ("LayerNorm", (6,), {}, (X,)),
    ("LayerNorm", ([7, 8],), {"eps": 1e-3, "bias": False}, (IMAGE,)),
    ("LayerNorm", (6,), {"elementwise_affine": False}, (X,)),
    ("GroupNorm", (2, 4), {}, (IMAGE,)),
    ("GroupNorm", (4, 4), {"affine": False}, (SIGNAL,)),
    ("RMSNorm", (6,), {}, (X,)),
    ("RMSNorm", ((7, 8),), {"eps": 1e-2, "elementwise_affine": False}, (IMAGE,)),
    ("LocalResponseNorm", (3,), {"alpha": 0.1, "k": 2.0}, (IMAGE,)),
    ("CrossMapLRN2d", (3,), {"alpha": 0.1}, (IMAGE,)),
    ("CrossMapLRN2d", (4,), {"alpha": 0.5, "beta": 0.5, "k": 2}, (randn(2, 9, 3, 3),)),
]

LABELS = randint(6, 4)
LOSSES = [
    *[
        (name, (), {**kwargs, "reduction": reduction}, inputs)
        for name, kwargs, inputs in [
            ("L1Loss", {}, (X, randn(4, 6, seed=1))),
            ("MSELoss", {}, (X, randn(4, 6, seed=1))),
            ("SmoothL1Loss", {"beta": 0.5}, (X, randn(4, 6, seed=1))),
            ("HuberLoss", {"delta": 0.5}, (X, randn(4, 6, seed=1))),
            ("NLLLoss", {"weight": rand(6).detach(), "ignore_index": 2}, (X, LABELS)),
            ("CrossEntropyLoss", {}, (X, LABELS)),
            ("CrossEntropyLoss", {"label_smoothing": 0.1, "weight": rand(6).detach()}, (X, LABELS)),
            ("CrossEntropyLoss", {}, (IMAGE, randint(4, 2, 7, 8))),
            ("CrossEntropyLoss", {}, (X, torch.softmax(randn(4, 6, seed=2, requires_grad=False), 1))),
            ("BCELoss", {}, (rand(4, 6), rand(4, 6, seed=1, requires_grad=False))),
            ("BCEWithLogitsLoss", {"pos_weight": rand(6).detach()}, (X, rand(4, 6, seed=1, requires_grad=False))),
            ("KLDivLoss", {}, (X, rand(4, 6, seed=1, requires_grad=False))),
            ("KLDivLoss", {"log_target": True}, (X, randn(4, 6, seed=1, requires_grad=False))),
            ("PoissonNLLLoss", {"full": True}, (X, 5 * rand(4, 6, seed=1, requires_grad=False))),
            ("GaussianNLLLoss", {"full": True}, (X, randn(4, 6, seed=1), rand(4, 6, seed=2))),
            ("HingeEmbeddingLoss", {"margin": 0.5}, (X, signs(4, 6))),
            ("SoftMarginLoss", {}, (X, signs(4, 6))),
            ("MultiLabelSoftMarginLoss", {}, (X, rand(4, 6, seed=1, requires_grad=False).round())),
            ("MultiLabelMarginLoss", {}, (X, torch.tensor([[3, 0, -1, 1, 2, 5]] * 4))),
            ("MultiMarginLoss", {"p": 2, "margin": 0.8, "weight": rand(6).detach()}, (X, LABELS)),
            ("CosineEmbeddingLoss", {"margin": 0.2}, (X, randn(4, 6, seed=1), signs(4))),
            ("MarginRankingLoss", {"margin": 0.2}, (randn(4), randn(4, seed=1), signs(4))),
            ("TripletMarginLoss", {"swap": True, "p": 1.0}, (X, randn(4, 6, seed=1), randn(4, 6, seed=2))),
            ("TripletMarginWithDistanceLoss", {"margin": 2.0}, (X, randn(4, 6, seed=1), randn(4, 6, seed=2))),
            (
                "CTCLoss",
                {"zero_infinity": True},
                (
                    torch.log_softmax(randn(7, 2, 5, requires_grad=False), 2).requires_grad_(),
                    torch.tensor([[1, 2, 2], [3, 4, 1]]),
                    torch.tensor([7, 6]),
                    torch.tensor([3, 2]),
                ),
            ),
        ]
        for reduction in ("mean", "sum", "none")
    ],
    ("LinearCrossEntropyLoss", (6, 5), {"bias": True}, (X, randint(5, 4))),
    ("LinearCrossEntropyLoss", (6, 5), {"label_smoothing": 0.1, "reduction": "sum"}, (X, randint(5, 4))),
]

SEQUENCE = randn(5, 3, 6)
RECURRENT = [
    *[
        (name, (6, 4), kwargs, (SEQUENCE, *state))
        for name, state in [
            ("RNN", ()),
            ("GRU", ()),
            ("LSTM", ()),
            ("RNN", (randn(4, 3, 4, seed=1),)),
            ("GRU", (randn(4, 3, 4, seed=1),)),
            ("LSTM", ((randn(4, 3, 4, seed=1), randn(4, 3, 4, seed=2)),)),
        ]
        for kwargs in ([{"num_layers": 2, "bidirectional": True}] if state else [{}, {"num_layers": 2}])
    ],
    ("RNN", (6, 4), {"nonlinearity": "relu", "bias": False}, (SEQUENCE,)),
    ("RNN", (6, 4, 1, "relu"), {}, (SEQUENCE,)),
    ("LSTM", (6, 4), {"batch_first": True, "bidirectional": True}, (SEQUENCE,)),
    ("LSTM", (6, 4), {"proj_size": 2, "num_layers": 2, "bidirectional": True}, (SEQUENCE,)),
    ("GRU", (6, 4), {"batch_first": True, "bias": False}, (SEQUENCE,)),
    ("LSTM", (6, 4), {}, (randn(5, 6),)),
    ("GRU", (6, 4), {"batch_first": True}, (randn(5, 6), randn(1, 4, seed=1))),
    ("RNNCell", (6, 4), {}, (X,)),
    ("RNNCell", (6, 4), {"nonlinearity": "relu", "bias": False}, (X, randn(4, 4, seed=1))),
    ("LSTMCell", (6, 4), {}, (X,)),
    ("LSTMCell", (6, 4), {"bias": False}, (X, (randn(4, 4, seed=1), randn(4, 4, seed=2)))),
    ("LSTMCell", (6, 4), {}, (randn(6),)),
    ("GRUCell", (6, 4), {}, (X, randn(4, 4, seed=1))),
    ("GRUCell", (6, 4), {}, (randn(6), randn(4, seed=1))),
    # Wrong inputs.
    ("LSTM", (6, 4), {}, (randn(5, 3, 5),)),
    ("LSTM", (6, 4), {}, (randn(6),)),
    ("GRU", (6, 4), {}, (SEQUENCE, randn(2, 3, 4))),
    ("GRU", (6, 4), {}, (SEQUENCE, randn(3, 4))),
    ("LSTM", (6, 4), {}, (SEQUENCE, (randn(1, 3, 4), randn(3, 4)))),
    ("LSTM", (6, 4), {}, (SEQUENCE, (randn(1, 3, 4), randn(1, 2, 4)))),
    ("RNN", (6, 4), {}, (SEQUENCE.detach().double(),)),
    ("RNN", (6, 4), {}, (randn(2, 3, 4, 6),)),
    ("RNNCell", (6, 4), {}, (SEQUENCE,)),
    ("LSTMCell", (6, 4), {}, (X, (randn(4, 4), randn(1, 4, 4)))),
]

SOURCE, TARGET = randn(5, 3, 8), randn(4, 3, 8, seed=1)
LAYER = {"dim_feedforward": 16, "dropout": 0.0}
CAUSAL = torch.nn.Transformer.generate_square_subsequent_mask(5)
ATTENTION = [
    ("MultiheadAttention", (8, 2), {}, (SOURCE, SOURCE, SOURCE)),
    ("MultiheadAttention", (8, 2), {"batch_first": True}, (randn(3, 5, 8),) * 3),
    ("MultiheadAttention", (8, 2), {"kdim": 6, "vdim": 5}, (TARGET, randn(5, 3, 6), randn(5, 3, 5))),
    ("MultiheadAttention", (8, 2), {"add_bias_kv": True, "add_zero_attn": True}, (TARGET, SOURCE, SOURCE)),
    ("MultiheadAttention", (8, 2), {"bias": False}, (SOURCE, SOURCE, SOURCE, mask(3, 5), False)),
    ("MultiheadAttention", (8, 2), {}, (SOURCE, SOURCE, SOURCE, None, True, CAUSAL, False)),
    ("MultiheadAttention", (8, 2), {}, (randn(5, 8),) * 3),
    ("TransformerEncoderLayer", (8, 2), LAYER, (SOURCE, CAUSAL)),
    ("TransformerEncoderLayer", (8, 2), {**LAYER, "norm_first": True, "activation": "gelu"}, (SOURCE,)),
    ("TransformerEncoderLayer", (8, 2), {**LAYER, "batch_first": True, "bias": False}, (randn(3, 5, 8),)),
    ("TransformerDecoderLayer", (8, 2), LAYER, (TARGET, SOURCE)),
    ("TransformerDecoderLayer", (8, 2), {**LAYER, "norm_first": True}, (TARGET, SOURCE)),
    ("Transformer", (8, 2, 1, 2, 16, 0.0), {}, (SOURCE, TARGET)),
    (
        "Transformer",
        (8, 2, 1, 1, 16, 0.0),
        {"batch_first": True, "norm_first": True},
        (randn(3, 5, 8), randn(3, 4, 8, seed=1), CAUSAL),
    ),
    ("Transformer", (8, 2, 1, 1, 16, 0.0), {}, (SOURCE, randn(4, 2, 8))),
    ("Transformer", (8, 2, 1, 1, 16, 0.0), {}, (SOURCE, randn(4, 3, 6))),
]

ADAPTIVE = [("AdaptiveLogSoftmaxWithLoss", (8, 20, [5, 12]), {"div_value": 2.0}, (randn(6, 8), randint(20, 6)))]

LAZY = [
    ("LazyLinear", (3,), {}, (X,)),
    ("LazyLinear", (3,), {"bias": False}, (X,)),
    ("LazyConv1d", (6, 3), {}, (SIGNAL,)),
    ("LazyConv2d", (6, 3), {"padding": 1, "groups": 2}, (IMAGE,)),
    ("LazyConv3d", (6, 2), {"bias": False}, (VOLUME,)),
    ("LazyConvTranspose1d", (6, 3), {}, (SIGNAL,)),
    ("LazyConvTranspose2d", (6, 3), {"stride": 2}, (IMAGE,)),
    ("LazyConvTranspose3d", (2, 2), {}, (VOLUME,)),
    ("LazyBatchNorm1d", (), {}, (X,)),
    ("LazyBatchNorm2d", (), {"momentum": 0.2}, (IMAGE,)),
    ("LazyBatchNorm3d", (), {"affine": False}, (VOLUME,)),
    ("LazyInstanceNorm1d", (), {}, (SIGNAL,)),
    ("LazyInstanceNorm2d", (), {"affine": True}, (IMAGE,)),
    ("LazyInstanceNorm3d", (), {"track_running_stats": True}, (VOLUME,)),
]

DROPOUTS = [
    ("Dropout", (), {}, (X,)),
    ("Dropout", (0.2,), {}, (IMAGE,)),
    ("Dropout", (1.0,), {}, (X,)),
    ("Dropout1d", (), {}, (SIGNAL,)),
    ("Dropout2d", (0.3,), {}, (IMAGE,)),
    ("Dropout3d", (), {}, (VOLUME,)),
    ("AlphaDropout", (), {}, (X,)),
    ("FeatureAlphaDropout", (), {}, (IMAGE,)),
]

CASES = [
    *ACTIVATIONS,
    *SHAPES,
    *LINEAR,
    *CONVOLUTIONS,
    *POOLS,
    *NORMS,
    *LOSSES,
    *RECURRENT,
    *ATTENTION,
    *ADAPTIVE,
    *LAZY,
    *DROPOUTS,
]
WRONG_ARGUMENTS = [
    ("Bilinear", (0, 2, 3), {}),
    ("Conv2d", (3, 4, 3), {"groups": 2}),
    ("Conv2d", (4, 3, 3), {"groups": 2}),
    ("Conv2d", (4, 4, 3), {"groups": 0}),
    ("Conv2d", (4, 4, 3), {"padding": "same", "stride": 2}),
    ("ConvTranspose2d", (4, 4, 3), {"padding_mode": "circular"}),
    ("Dropout", (1.5,), {}),
    ("Embedding", (4, 2), {"padding_idx": 4}),
    ("Embedding", (4, 2), {"padding_idx": -5}),
    ("EmbeddingBag", (4, 2), {"padding_idx": 4}),
    ("FractionalMaxPool2d", (2,), {}),
    ("FractionalMaxPool2d", (2, 3, 0.5), {}),
    ("FractionalMaxPool2d", (2,), {"output_ratio": 1.5}),
    ("FractionalMaxPool3d", (0,), {}),
    ("GRU", (3, 4), {"proj_size": 2}),
    ("GroupNorm", (3, 4), {}),
    ("Hardtanh", (1.0, -1.0), {}),
    ("HuberLoss", (), {"delta": "1"}),
    ("LSTM", (0, 4), {}),
    ("LSTM", (3, 4), {"bias": 1}),
    ("LSTM", (3, 4), {"dropout": 2}),
    ("LSTM", (3, 4), {"num_layers": 0}),
    ("LSTM", (3, 4), {"proj_size": 4}),
    ("LSTM", (3, 4.0), {}),
    ("LinearCrossEntropyLoss", (3, 4), {"label_smoothing": 2}),
    ("MultiMarginLoss", (3,), {}),
    ("MultiheadAttention", (0, 1), {}),
    ("MultiheadAttention", (8, 3), {}),
    ("RNN", (3, 4), {"nonlinearity": "sine"}),
    ("RNNBase", ("CNN", 3, 4), {}),
    ("TransformerEncoderLayer", (8, 2), {"activation": "tanh"}),
    ("TripletMarginLoss", (0,), {}),
    ("Unflatten", (1, 3), {}),
    ("Unflatten", (1, (3, "a")), {}),
    ("AdaptiveLogSoftmaxWithLoss", (8, 20, []), {}),
    ("AdaptiveLogSoftmaxWithLoss", (8, 20, [5, 3]), {}),
    ("LinearCrossEntropyOptions", (), {"acc_policy": "best"}),
    ("LinearCrossEntropyOptions", (), {"batch_chunk_size": 0}),
    ("LinearCrossEntropyOptions", (), {"chunking_method": "aspect_ratio:0"}),
]


def both(name, args, kwargs):
    """A layer of each library, made under the same seed."""
    kwargs = {key: getattr(torch, value) if key == "dtype" else value for key, value in kwargs.items()}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.manual_seed(0)
        expected = getattr(torch.nn, name)(*args, **kwargs)
        torchlike.manual_seed(0)
        return getattr(torchlike.nn, name)(*ours(args), **ours(kwargs)), expected


def assert_same_values(actual, expected, name, where):
    """Like oracle's comparison, but a packed sequence or named tuple need only have the same name."""
    from oracle import assert_same

    assert_same(actual, expected, name, where)


def leaf(x):
    return x.detach().clone().requires_grad_(x.requires_grad) if isinstance(x, torch.Tensor) else x


def fresh(x):
    """The arguments as leaves of their own; one tensor given twice stays one."""
    seen = {}

    def copied(value):
        if isinstance(value, tuple):
            return tuple(map(copied, value))
        if id(value) not in seen:
            seen[id(value)] = leaf(value)
        return seen[id(value)]

    def converted(value):
        if isinstance(value, tuple):
            return tuple(map(converted, value))
        key = ("ours", id(value))
        if key not in seen:
            seen[key] = ours(value)
        return seen[key]

    natives = copied(x)
    return converted(natives), natives


def tolerance_name(name):
    name = name.removeprefix("Lazy")
    return name.rstrip("123d") if "Norm" in name and name.endswith("d") else name


def label(case):
    return f"{case[0]}-{'-'.join(map(str, case[1]))}-{'-'.join(case[2])}"


def ids(cases):
    return [f"{i}-{case[0]}" for i, case in enumerate(cases)]


def compare_state(actual, expected, where):
    assert list(actual.state_dict()) == list(expected.state_dict()), where
    for key, value in expected.state_dict().items():
        if not torch.nn.parameter.is_lazy(value):
            assert_same_values(actual.state_dict()[key], value, "", f"{where} {key}")


@pytest.mark.parametrize("case", CASES, ids=ids(CASES))
def test_construction(case):
    """The same text, weights, buffers and attributes."""
    name, args, kwargs, _ = case
    actual, expected = both(name, args, kwargs)
    assert repr(actual) == repr(expected)
    assert type(actual).__constants__ == type(expected).__constants__ if hasattr(expected, "__constants__") else True
    assert actual._version == expected._version
    assert actual.state_dict()._metadata == expected.state_dict()._metadata
    assert [n for n, _ in actual.named_parameters()] == [n for n, _ in expected.named_parameters()]
    assert [p.requires_grad for p in actual.parameters()] == [p.requires_grad for p in expected.parameters()]
    compare_state(actual, expected, name)
    plain = {k: v for k, v in expected.__dict__.items() if isinstance(v, (int, float, str, bool, tuple, type(None)))}
    for key, value in plain.items():
        assert actual.__dict__[key] == value, key


@pytest.mark.parametrize("case", CASES, ids=ids(CASES))
@pytest.mark.parametrize("mode", ["train", "eval"])
def test_output_and_gradients(case, mode):
    """The same output, or error, and the same gradients of inputs and parameters, and then the same buffers."""
    name, args, kwargs, inputs = case
    actual, expected = both(name, args, kwargs)
    training = mode == "train"
    actual.train(training), expected.train(training)
    our_inputs, native_inputs = fresh(inputs)
    torch.manual_seed(1)
    wanted, error = outcome(expected, *native_inputs)
    torchlike.manual_seed(1)
    found, our_error = outcome(actual, *our_inputs)
    if error is not None:
        assert_same_error(our_error, error)
        return
    if our_error is not None:
        raise our_error
    where = f"{label(case)} {mode}"
    op = tolerance_name(name)
    assert_same_values(found, wanted, op, where)
    leaves = {id(t): (o, t) for o, t in zip(tensors_in(our_inputs), tensors_in(native_inputs), strict=True)}
    pairs = [pair for pair in leaves.values() if pair[1].requires_grad]
    pairs += [*zip(actual.parameters(), expected.parameters(), strict=True)]
    pairs = [pair for pair in pairs if pair[1].requires_grad]
    assert_same_gradients(found, wanted, [a for a, _ in pairs], [e for _, e in pairs], op)
    for (key, buffer), (_, native_buffer) in zip(actual.named_buffers(), expected.named_buffers(), strict=True):
        assert_same_values(buffer, native_buffer, op, f"{where} {key}")


@pytest.mark.parametrize("case", WRONG_ARGUMENTS, ids=ids(WRONG_ARGUMENTS))
def test_wrong_arguments(case):
    name, args, kwargs = case
    _, error = outcome(getattr(torch.nn, name), *args, **kwargs)
    _, our_error = outcome(getattr(torchlike.nn, name), *args, **kwargs)
    assert_same_error(our_error, error)


def test_names_and_signatures():
    """The same classes in the same files, with the same parameters."""
    for name in torch.nn.modules.__all__:
        expected, actual = getattr(torch.nn, name), getattr(torchlike.nn, name)
        assert actual.__module__.partition(".")[2] == expected.__module__.partition(".")[2], name
        wanted = inspect.signature(expected.__init__).parameters
        found = inspect.signature(actual.__init__).parameters
        assert list(found) == list(wanted), name
        for parameter, value in wanted.items():
            same = found[parameter].default == value.default or callable(value.default)
            assert same and found[parameter].kind == value.kind, (name, parameter)
        if "forward" in vars(expected):
            wanted = list(inspect.signature(expected.forward).parameters)
            assert list(inspect.signature(actual.forward).parameters) == wanted, name
        assert actual.__doc__, name


@pytest.mark.parametrize("case", LAZY, ids=ids(LAZY))
def test_lazy_modules(case):
    """Uninitialized at first, of the ordinary class after the first call, and loadable before it."""
    name, args, kwargs, inputs = case
    actual, expected = both(name, args, kwargs)
    assert actual.has_uninitialized_params() == expected.has_uninitialized_params()
    assert [repr(p) for p in actual.parameters()] == [repr(p) for p in expected.parameters()]
    torch.manual_seed(2), torchlike.manual_seed(2)
    expected(*inputs), actual(*ours(inputs))
    assert type(actual).__name__ == type(expected).__name__ == name.removeprefix("Lazy")
    compare_state(actual, expected, name)
    other, _ = both(name, args, kwargs)
    other.load_state_dict(actual.state_dict())
    assert not other.has_uninitialized_params()
    compare_state(other, expected, name)


def test_uninitialized_parameter():
    parameter = torchlike.nn.UninitializedParameter(dtype=torchlike.float64)
    assert repr(parameter) == "<UninitializedParameter>" and torchlike.nn.parameter.is_lazy(parameter)
    assert isinstance(parameter, torchlike.nn.Parameter) and parameter.requires_grad
    with pytest.raises(RuntimeError, match="Can't access the shape of an uninitialized parameter or buffer"):
        _ = parameter.shape
    with pytest.raises(RuntimeError, match="Can't share memory on an uninitialized parameter"):
        parameter.share_memory_()
    with pytest.raises(ValueError, match="Attempted to use an uninitialized parameter"):
        parameter * 2
    assert repr(copy.deepcopy(parameter)) == repr(parameter)
    parameter.materialize((2, 3))
    assert type(parameter) is torchlike.nn.Parameter and tuple(parameter.shape) == (2, 3)
    assert parameter.dtype is torchlike.float64 and parameter.requires_grad and parameter.is_leaf


@pytest.mark.parametrize("name", ["RNN", "LSTM", "GRU"])
@pytest.mark.parametrize("enforce_sorted", [True, False])
@pytest.mark.parametrize("kwargs", [{}, {"num_layers": 2, "bidirectional": True}])
def test_packed_sequences(name, enforce_sorted, kwargs):
    lengths = [5, 4, 2] if enforce_sorted else [2, 5, 4]
    actual, expected = both(name, (6, 4), kwargs)
    results = []
    for library, model, x in ((torch, expected, leaf(SEQUENCE)), (torchlike, actual, ours(SEQUENCE))):
        rnn = library.nn.utils.rnn
        packed = rnn.pack_padded_sequence(x, lengths, enforce_sorted=enforce_sorted)
        output, state = model(packed)
        assert type(output).__name__ == "PackedSequence"
        results.append((x, tuple(packed), rnn.pad_packed_sequence(output, padding_value=-1.0), state))
    (x, *wanted), (our_x, *found) = results
    assert_same_values(found, wanted, name, name)
    assert_same_gradients(found[1:], wanted[1:], [our_x, *actual.parameters()], [x, *expected.parameters()], name)


def test_recurrent_weights_follow_assignment():
    """The flat list that the kernels get is that of the present parameters."""
    for library in (torch, torchlike):
        model = library.nn.LSTM(3, 4, num_layers=2)
        model.weight_ih_l0 = library.nn.Parameter(library.zeros(16, 3))
        assert model._flat_weights[0] is model.weight_ih_l0
        model.double()
        assert [w.dtype for w in model._flat_weights] == [library.float64] * 8
        assert [[tuple(w.shape) for w in layer] for layer in model.all_weights] == [
            [(16, 3), (16, 4), (16,), (16,)],
            [(16, 4), (16, 4), (16,), (16,)],
        ]
        clone = copy.deepcopy(model)
        assert all(a is b for a, b in zip(clone._flat_weights, clone.parameters(), strict=True))


def test_dropout_of_recurrent_layers_warns():
    for library in (torch, torchlike):
        with pytest.warns(UserWarning, match="non-zero dropout expects num_layers greater than 1, but got dropout=0.5"):
            library.nn.GRU(3, 4, dropout=0.5)


def test_encoder_leaves_padding_out():
    """In evaluation mode without gradients, the output is 0 where the source is padding."""
    padding = torch.tensor([[False] * 5, [False] * 3 + [True] * 2, [True] * 5])
    results = []
    for library in (torch, torchlike):
        library.manual_seed(0)
        layer = library.nn.TransformerEncoderLayer(8, 2, 16, batch_first=True)
        encoder = library.nn.TransformerEncoder(layer, 2).eval()
        x, m = (randn(3, 5, 8), padding) if library is torch else ours((randn(3, 5, 8), padding))
        with library.no_grad(), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            results.append(encoder(x, src_key_padding_mask=m))
    assert_same_values(results[1], results[0], "TransformerEncoder", "padded")


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        ({"norm_first": True}, "norm_first was True"),
        ({"batch_first": False}, "batch_first was not True"),
        ({"bias": False}, "bias=False"),
        ({"nhead": 1}, "num_heads is odd"),
        ({"activation": "sine"}, "activation_relu_or_gelu was not True"),
    ],
)
def test_encoder_warns_that_padding_stays(options, reason):
    texts = []
    for library in (torch, torchlike):
        chosen = {"nhead": 2, "batch_first": True, **options}
        if "activation" in options:
            chosen["activation"] = library.sin
        layer = library.nn.TransformerEncoderLayer(8, **chosen)
        with pytest.warns(UserWarning, match=reason) as caught:
            encoder = library.nn.TransformerEncoder(layer, 1)
        assert encoder.use_nested_tensor is False
        texts.append(str(caught[0].message))
    assert texts[0] == texts[1]


def test_deprecated_layers_warn():
    for library in (torch, torchlike):
        with pytest.warns(FutureWarning, match="`NLLLoss2d` has been deprecated"):
            library.nn.NLLLoss2d()
        with pytest.warns(FutureWarning, match="`nn.Container` is deprecated"):
            assert list(library.nn.Container(a=library.nn.ReLU())._modules) == ["a"]
        with pytest.warns(FutureWarning, match="`min_value` is deprecated"):
            assert library.nn.Hardtanh(min_value=-2.0).min_val == -2.0
        with pytest.warns(UserWarning, match="size_average and reduce args will be deprecated"):
            assert library.nn.MSELoss(size_average=False).reduction == "sum"


def test_sync_batch_norm_conversion():
    model = torchlike.nn.Sequential(torchlike.nn.Conv2d(3, 4, 1), torchlike.nn.BatchNorm2d(4))
    weight = model[1].weight
    converted = torchlike.nn.SyncBatchNorm.convert_sync_batchnorm(model)
    assert converted is model and type(model[1]).__name__ == "SyncBatchNorm" and model[1].weight is weight


def test_adaptive_softmax_predictions():
    actual, expected = both("AdaptiveLogSoftmaxWithLoss", (8, 20, [5, 12]), {})
    x = randn(6, 8, requires_grad=False)
    assert_same_values(actual.log_prob(ours(x)), expected.log_prob(x), "Linear", "log_prob")
    assert np.array_equal(array_of(actual.predict(ours(x))), array_of(expected.predict(x)))


def test_pretrained_embeddings():
    table = randn(4, 3, requires_grad=False)
    for library, values in ((torch, table), (torchlike, ours(table))):
        frozen = library.nn.Embedding.from_pretrained(values, padding_idx=1)
        assert not frozen.weight.requires_grad and frozen.padding_idx == 1
        bag = library.nn.EmbeddingBag.from_pretrained(values, freeze=False, mode="sum")
        assert bag.weight.requires_grad and bag.mode == "sum"
        with pytest.raises(AssertionError, match="Embeddings parameter is expected to be 2-dimensional"):
            library.nn.Embedding.from_pretrained(values[0])
