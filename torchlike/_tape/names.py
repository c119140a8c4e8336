"""What PyTorch's nodes of each name do that programs can see: what they save, and what their own gradients are
called.
"""

from __future__ import annotations


def _nodes(names: str) -> list[str]:
    """``Exp`` stands for ExpBackward0; a name with a number is complete."""
    return [name if name[-1].isdigit() and "Backward" in name else f"{name}Backward0" for name in names.split()]


#: What nodes save where that is not just the operands that the gradient is computed from: the first operand, the first result,
#: the indices that come second. These tensors must not be written to before the backward, and others may.
_SAVED = {
    ("operands", "result"): "Copysign Hypot IndexReduce PowBackward1 PowBackward2 ScatterReduce Cdist",
    ("result",): (
        "Cholesky LinalgDet Exp Exp2 Expm1 SpecialNdtri Reciprocal Rsqrt Sigmoid Sqrt Tan Tanh Relu LogSoftmax Softmax "
        "MaskedSoftmax SafeSoftmax EluBackward1 CeluBackward1 LeakyReluBackward1 RreluWithNoiseBackward1"
    ),
    ("indices",): "Max Min Sort SortBackward1 Topk Kthvalue Mode MedianBackward1 NanmedianBackward1",
    ("self", "result"): (
        "Amax Amin Cumprod Dist LinalgVectorNorm Logcumsumexp Logsumexp MaxBackward1 MinBackward1 Median Nanmedian Norm "
        "NormBackward1 Prod ProdBackward1 Sgn Std StdMean"
    ),
    ("self", "indices"): "Cummax Cummin",
    ("self",): (
        "AvgPool2D AvgPool3D Clamp ClampBackward1 ClampMax ClampMin Gather Hardshrink LeakyRelu NanToNum NativeGroupNorm NllLoss "
        "NllLoss2D MaxPool2DWithIndices MaxPool3DWithIndices Softshrink Threshold Var VarMean"
    ),
    (): "Mean MeanBackward1 Sum SumBackward1",
}

#: For these nodes, what they save.
SAVED = {name: saved for saved, names in _SAVED.items() for name in _nodes(names)}

#: Operators whose nodes keep even a number that they are applied to, and so have something to free.
SAVE_NUMBERS = frozenset(("mul", "true_divide"))

#: Operators all of whose operands count as inputs of their nodes: elsewhere integers and bools are indices and masks.
ARITHMETIC = frozenset(
    ("add", "sub", "mul", "true_divide", "pow", "maximum", "minimum", "fmod", "remainder", "atan2", "hypot")
)

#: Those of them that make a tensor of a number before they are applied to it.
TENSORS_OF_NUMBERS = frozenset(("add", "sub", "mul", "true_divide"))

#: The node of a gradient that is computed with ``create_graph``, and the nodes whose gradients it is. Others are called
#: after the node itself: the gradient of ReluBackward0 would be ReluBackwardBackward0.
_GRADIENTS = {
    "MulBackward0": (
        "Abs Acos Acosh Amax Amin Aminmax Asin Asinh Atan2 Copysign Cos Cosh Digamma Dist Dot Erf Erfc Erfinv Exp "
        "Expm1 I0 Ldexp "
        "Lgamma LinalgVectorNorm Logsumexp Mish Mul Mv Mvlgamma NanToNum Nansum NativeDropout Norm NormBackward1 "
        "Polygamma Pow "
        "PowBackward2 Prod ProdBackward1 Reciprocal Rsqrt Sgn Silu Sin Sinh SpecialEntr SpecialErfcx SpecialI0E "
        "SpecialI1 "
        "SpecialI1E SpecialLogNdtr SpecialNdtri Std StdMean Tan Var VarMean Vdot MulBackward1"
    ),
    "DivBackward0": "Atan Atanh Cumprod Div Frexp Hypot IndexReduce Log10 Log1P Log2 Log Logaddexp2 Logaddexp Sqrt",
    "WhereBackward0": (
        "Clamp ClampBackward1 ClampMaxBackward1 ClampMinBackward1 ClampMax ClampMin Logit Nextafter PowBackward1 Renorm Sinc Where"
    ),
    "MaskedFillBackward0": (
        "Fmax Fmin MaskedFill MaskedFillBackward1 MaskedScatter Maximum Minimum SpecialXlog1Py Xlogy"
    ),
    "ScatterBackward0": "Kthvalue Max MedianBackward1 Min Mode NanmedianBackward1 Sort SortBackward1 Topk",
    "ViewBackward0": "View ReshapeAlias UnsafeView Addbmm Baddbmm MaxUnpool2D MaxUnpool3D NativeGroupNorm Trace",
    "MulBackward1": "Addmm Addmv Deg2Rad Exp2 Lerp Rad2Deg",
    "SumBackward1": "Expand FmodBackward1 RemainderBackward1",
    "NegBackward0": "CholeskyInverse LinalgInvEx LinalgSolveEx Neg Rsub RsubBackward1",
    "CatBackward0": "Split SplitWithSizes UnsafeSplit",
    "UnsqueezeBackward0": "Squeeze SqueezeBackward1 SqueezeBackward2",
    "SelectBackward0": "Complex Polar",
    "MmBackward0": "Mm LinalgEigh LinalgLuFactorEx LinalgSvd",
    "BmmBackward0": "Bmm",
    "MaskedFillBackward1": "MaxBackward1 Median MinBackward1 Nanmedian",
    "DivBackward1": "BinaryCrossEntropyWithLogits Mean MeanBackward1",
    "LinalgSolveTriangularBackward0": "Cholesky LinalgCholeskyEx LinalgQr",
    "ScatterAddBackward0": "Cummax Cummin Gather",
    "IndexFillBackward0": "IndexCopy IndexFill IndexFillBackward1",
    "ExpandBackward0": "LinalgDet Sum SumBackward1",
    "TrilBackward0": "Tril",
    "TriuBackward0": "Triu",
    "SoftmaxBackwardDataBackward0": "SafeSoftmax Softmax SoftmaxBackwardData",
    "LogSoftmaxBackwardDataBackward0": "LogSoftmax",
    "EluBackwardBackward0": "Celu Elu",
    "FlipBackward0": "Cumsum Flip",
    "PermuteBackward0": "Permute",
    "TBackward0": "T",
    "TransposeBackward0": "Transpose",
    "StackBackward0": "Unbind",
    "SqueezeBackward1": "Unsqueeze",
    "PutBackward0": "Take",
    "ThresholdBackwardBackward0": "Relu Threshold",
    "ScatterBackward1": "Scatter",
    "IndexPutImplBackward0": "Index",
    "IndexPutBackward0": "IndexPut",
    "IndexAddBackward0": "IndexSelect",
    "MaskedScatterBackward0": "MaskedSelect",
    "SubBackward0": "Logcumsumexp",
    "RollBackward0": "Roll",
    "Rot90Backward0": "Rot90",
    "ConstantPadNdBackward0": "ConstantPadNd",
    "DiagonalBackward0": "DiagEmbed",
    "ToCopyBackward0": "ToCopy",
    "LinalgCrossBackward0": "LinalgCross",
    "Col2ImBackward0": "Im2Col",
    "EmbeddingDenseBackwardBackward0": "Embedding",
    "PixelUnshuffleBackward0": "PixelShuffle",
    "PixelShuffleBackward0": "PixelUnshuffle",
    "ViewAsRealBackward0": "ViewAsComplex",
    "ViewAsComplexBackward0": "ViewAsReal",
    "CloneBackward0": "Clone",
    "AliasBackward0": "Alias",
    "AsStridedBackward0": "AsStrided",
}

_NODE_OF_GRADIENT = {name: gradient for gradient, names in _GRADIENTS.items() for name in _nodes(names)}


def gradient_name(name: str) -> str:
    """The name of the node of what a node of this name computes."""
    found = _NODE_OF_GRADIENT.get(name)
    if found is None:
        found = _NODE_OF_GRADIENT[name] = name.removesuffix("0").removesuffix("Backward") + "BackwardBackward0"
    return found
