"""What is logged, as TensorBoard's protocol buffers: each function makes a ``Summary``."""

# pyright: reportMissingImports=false, reportMissingModuleSource=false

from __future__ import annotations

import io
import json
import struct
import wave
from typing import Any

import numpy as np
from google.protobuf import struct_pb2
from tensorboard.compat.proto.summary_pb2 import HistogramProto, Summary, SummaryMetadata
from tensorboard.compat.proto.tensor_pb2 import TensorProto
from tensorboard.compat.proto.tensor_shape_pb2 import TensorShapeProto
from tensorboard.plugins.custom_scalar import layout_pb2
from tensorboard.plugins.pr_curve.plugin_data_pb2 import PrCurvePluginData
from tensorboard.plugins.text.plugin_data_pb2 import TextPluginData

import torchlike as torch
from torchlike.utils.tensorboard import _images
from torchlike.utils.tensorboard._images import make_np

#: More thresholds than this the plug-in of precision and recall does not take.
_MOST_THRESHOLDS = 127


def _metadata(plugin: str, content: bytes = b"") -> SummaryMetadata:
    return SummaryMetadata(plugin_data=SummaryMetadata.PluginData(plugin_name=plugin, content=content))


def _shape(*sizes: int) -> TensorShapeProto:
    return TensorShapeProto(dim=[TensorShapeProto.Dim(size=n) for n in sizes])


def _floats(array: np.ndarray) -> TensorProto:
    return TensorProto(dtype="DT_FLOAT", float_val=array.reshape(-1).tolist(), tensor_shape=_shape(*array.shape))


def _one(tag: str, **fields: Any) -> Summary:
    return Summary(value=[Summary.Value(tag=tag, **fields)])


# Numbers.


def scalar(
    name: str, tensor: Any, collections: Any = None, new_style: bool = False, double_precision: bool = False
) -> Summary:
    """A single number."""
    array = make_np(tensor).squeeze()
    if array.ndim != 0:
        raise AssertionError(
            "Tensor should contain one element (0 dimensions).             Was given size: "
            f"{array.size} and {array.ndim} dimensions."
        )
    number = float(array)
    if not new_style:
        return _one(name, simple_value=number)
    proto = (
        TensorProto(double_val=[number], dtype="DT_DOUBLE")
        if double_precision
        else TensorProto(float_val=[number], dtype="DT_FLOAT")
    )
    return _one(name, tensor=proto, metadata=_metadata("scalars"))


def _half_words(t: Any) -> list[int]:
    return [struct.unpack("i", struct.pack("f", x))[0] for x in t.flatten().tolist()]


def _numbers(t: Any) -> list[Any]:
    return t.flatten().tolist()


def _parts(t: Any) -> list[float]:
    return torch.view_as_real(t).flatten().tolist()


_FIELDS: dict[str, tuple[str, str, Any]] = {
    "float16": ("DT_HALF", "half_val", _half_words), "bfloat16": ("DT_BFLOAT16", "half_val", _half_words),
    "float32": ("DT_FLOAT", "float_val", _numbers), "float64": ("DT_DOUBLE", "double_val", _numbers),
    "int8": ("DT_INT8", "int_val", _numbers), "uint8": ("DT_UINT8", "uint32_val", _numbers),
    "int16": ("DT_INT16", "int_val", _numbers), "int32": ("DT_INT32", "int_val", _numbers),
    "int64": ("DT_INT64", "int64_val", _numbers), "bool": ("DT_BOOL", "bool_val", _numbers),
    "complex64": ("DT_COMPLEX64", "scomplex_val", _parts), "complex128": ("DT_COMPLEX128", "dcomplex_val", _parts),
}  # fmt: skip


def tensor_proto(tag: str, tensor: Any) -> Summary:
    """A whole tensor."""
    if tensor.numel() * tensor.itemsize >= 1 << 31:
        raise ValueError("tensor is bigger than protocol buffer's hard limit of 2GB in size")
    if tensor.dtype.name not in _FIELDS:
        raise ValueError(f"{tag} has unsupported tensor dtype {tensor.dtype}")
    dtype, field, convert = _FIELDS[tensor.dtype.name]
    proto = TensorProto(dtype=dtype, tensor_shape=_shape(*tensor.shape), **{field: convert(tensor)})
    return _one(tag, metadata=_metadata("tensor"), tensor=proto)


# Distributions.


def histogram_raw(name, min, max, num, sum, sum_squares, bucket_limits, bucket_counts) -> Summary:
    """A histogram of which the counts are known."""
    proto = HistogramProto(
        min=min, max=max, num=num, sum=sum, sum_squares=sum_squares, bucket_limit=bucket_limits, bucket=bucket_counts
    )
    return _one(name, histo=proto)


def histogram(name: str, values: Any, bins: Any, max_bins: int | None = None) -> Summary:
    """A histogram of values."""
    return _one(name, histo=make_histogram(make_np(values).astype(float), bins, max_bins))


def make_histogram(values: np.ndarray, bins: Any, max_bins: int | None = None) -> HistogramProto:
    """The counts of values between limits; buckets without values at both ends are left out but for one."""
    if values.size == 0:
        raise ValueError("The input has no element.")
    values = values.reshape(-1)
    counts, limits = np.histogram(values, bins=bins)
    if max_bins is not None and len(counts) > max_bins:
        together = len(counts) // max_bins
        rest = len(counts) % together
        counts = np.pad(counts, (0, together - rest)) if rest else counts
        counts = counts.reshape(-1, together).sum(-1)
        limits = np.append(limits[:-1:together], limits[-1])
    filled = np.flatnonzero(counts)
    if not filled.size:
        raise ValueError("The histogram is empty, please file a bug report.")
    start, end = int(filled[0]), int(filled[-1]) + 1
    counts = counts[start - 1 : end] if start > 0 else np.concatenate([[0], counts[:end]])
    limits = limits[start : end + 1]
    return HistogramProto(
        min=values.min(), max=values.max(), num=len(values), sum=values.sum(), sum_squares=values.dot(values),
        bucket_limit=limits.tolist(), bucket=counts.tolist(),
    )  # fmt: skip


# Pictures and sounds.


def make_image(array: np.ndarray, rescale: float = 1, rois: Any = None, labels: Any = None) -> Summary.Image:
    """Pixels (height, width, channels) of uint8, with boxes drawn into them."""
    from PIL import Image

    height, width, channels = array.shape
    picture = Image.fromarray(array)
    if rois is not None:
        _images.draw_boxes(picture, rois, labels)
    picture = picture.resize((int(width * rescale), int(height * rescale)), Image.Resampling.LANCZOS)
    return Summary.Image(height=height, width=width, colorspace=channels, encoded_image_string=_images.png(picture))


def image(tag: str, tensor: Any, rescale: float = 1, dataformats: str = "NCHW") -> Summary:
    """An image, or a batch of them as one grid; its numbers are from 0 to 1, or uint8."""
    return _one(tag, image=make_image(_images.as_bytes(_images.as_hwc(make_np(tensor), dataformats)), rescale))


def image_boxes(tag, tensor_image, tensor_boxes, rescale=1, dataformats="CHW", labels=None) -> Summary:
    """An image with boxes drawn into it."""
    pixels = _images.as_bytes(_images.as_hwc(make_np(tensor_image), dataformats))
    return _one(tag, image=make_image(pixels, rescale, make_np(tensor_boxes), labels))


def video(tag: str, tensor: Any, fps: float = 4) -> Summary:
    """Videos (N, time, channels, H, W) side by side."""
    frames = _images.video_frames(make_np(tensor))
    _, height, width, channels = frames.shape
    proto = Summary.Image(
        height=height, width=width, colorspace=channels, encoded_image_string=_images.gif(frames, fps)
    )
    return _one(tag, image=proto)


def audio(tag: str, tensor: Any, sample_rate: int = 44100) -> Summary:
    """A sound, numbers from -1 to 1."""
    samples = make_np(tensor).squeeze()
    if abs(samples).max() > 1:
        print("warning: audio amplitude out of range, auto clipped.")
        samples = samples.clip(-1, 1)
    if samples.ndim != 1:
        raise AssertionError("input tensor should be 1 dimensional.")
    samples = (samples * np.iinfo(np.int16).max).astype("<i2")
    buffer = io.BytesIO()
    with wave.open(buffer, "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(sample_rate)
        file.writeframes(samples.tobytes())
    proto = Summary.Audio(
        sample_rate=sample_rate, num_channels=1, length_frames=samples.shape[-1],
        encoded_audio_string=buffer.getvalue(), content_type="audio/wav",
    )  # fmt: skip
    return _one(tag, audio=proto)


def text(tag: str, text: str) -> Summary:
    """A text in Markdown."""
    proto = TensorProto(dtype="DT_STRING", string_val=[text.encode("utf_8")], tensor_shape=_shape(1))
    metadata = _metadata("text", TextPluginData(version=0).SerializeToString())
    return _one(tag + "/text_summary", metadata=metadata, tensor=proto)


# Plug-ins.


def custom_scalars(layout: dict[str, Any]) -> Summary:
    """An arrangement of scalars in charts: category -> title -> ["Multiline" or "Margin", tags]."""
    categories = []
    for title, charts in layout.items():
        made = []
        for name, (kind, tags) in charts.items():
            if kind == "Margin":
                if len(tags) != 3:
                    raise AssertionError("len(tags) != 3")
                series = layout_pb2.MarginChartContent.Series(value=tags[0], lower=tags[1], upper=tags[2])
                made.append(layout_pb2.Chart(title=name, margin=layout_pb2.MarginChartContent(series=[series])))
            else:
                made.append(layout_pb2.Chart(title=name, multiline=layout_pb2.MultilineChartContent(tag=tags)))
        categories.append(layout_pb2.Category(title=title, chart=made))
    content = layout_pb2.Layout(category=categories).SerializeToString()
    proto = TensorProto(dtype="DT_STRING", string_val=[content], tensor_shape=TensorShapeProto())
    return _one("custom_scalars__config__", tensor=proto, metadata=_metadata("custom_scalars"))


def compute_curve(labels: np.ndarray, predictions: np.ndarray, num_thresholds: int, weights: Any = None) -> np.ndarray:
    """True and false positives, true and false negatives, precision and recall for thresholds between 0 and 1."""
    weights = 1.0 if weights is None else weights
    buckets = np.int32(np.floor(predictions * (num_thresholds - 1)))
    truth = labels.astype(np.float64)

    def at_least(weighted: np.ndarray) -> np.ndarray:
        counts, _ = np.histogram(buckets, num_thresholds, (0, num_thresholds - 1), weights=weighted)
        return np.cumsum(counts[::-1])[::-1]

    tp, fp = at_least(truth * weights), at_least((1.0 - truth) * weights)
    tn, fn = fp[0] - fp, tp[0] - tp
    return np.stack([tp, fp, tn, fn, tp / np.maximum(1e-7, tp + fp), tp / np.maximum(1e-7, tp + fn)])


def _curve(tag: str, data: np.ndarray, num_thresholds: int) -> Summary:
    content = PrCurvePluginData(version=0, num_thresholds=num_thresholds).SerializeToString()
    return _one(tag, metadata=_metadata("pr_curves", content), tensor=_floats(data))


def pr_curve(tag: str, labels: Any, predictions: Any, num_thresholds: int = 127, weights: Any = None) -> Summary:
    """Precision and recall of predicted probabilities."""
    num_thresholds = min(num_thresholds, _MOST_THRESHOLDS)
    return _curve(tag, compute_curve(labels, predictions, num_thresholds, weights), num_thresholds)


def pr_curve_raw(tag, tp, fp, tn, fn, precision, recall, num_thresholds=127, weights=None) -> Summary:
    """Precision and recall that are known."""
    return _curve(tag, np.stack((tp, fp, tn, fn, precision, recall)), min(num_thresholds, _MOST_THRESHOLDS))


def mesh(tag, vertices, colors, faces, config_dict, display_name=None, description=None) -> Summary:
    """Points in space, (batch, points, 3), with colours and triangles."""
    from tensorboard.plugins.mesh import metadata
    from tensorboard.plugins.mesh.plugin_data_pb2 import MeshPluginData

    config = "{}" if config_dict is None else json.dumps(config_dict, sort_keys=True)
    given = [(vertices, MeshPluginData.VERTEX), (faces, MeshPluginData.FACE), (colors, MeshPluginData.COLOR)]
    given = [(make_np(t), kind) for t, kind in given if t is not None]
    components = metadata.get_components_bitmask([kind for _, kind in given])
    values = []
    for array, kind in given:
        about = metadata.create_summary_metadata(
            tag, display_name, kind, components, array.shape, description, json_config=config
        )
        values.append(Summary.Value(tag=metadata.get_instance_name(tag, kind), tensor=_floats(array), metadata=about))
    return Summary(value=values)


# Hyperparameters.


def _choices(values: Any, field: str) -> Any:
    return None if values is None else struct_pb2.ListValue(values=[struct_pb2.Value(**{field: v}) for v in values])


def _session(tag: str, **content: Any) -> Summary:
    from tensorboard.plugins.hparams.metadata import PLUGIN_DATA_VERSION, PLUGIN_NAME
    from tensorboard.plugins.hparams.plugin_data_pb2 import HParamsPluginData

    data = HParamsPluginData(version=PLUGIN_DATA_VERSION, **content)
    return _one(tag, metadata=_metadata(PLUGIN_NAME, data.SerializeToString()))


def _check_hparams(hparam_dict: Any, metric_dict: Any, domains: Any) -> None:
    for name, given in (
        ("hparam_dict", hparam_dict),
        ("metric_dict", metric_dict),
        ("hparam_domain_discrete", domains),
    ):
        if not isinstance(given, dict):
            raise TypeError(f"parameter: {name} should be a dictionary, nothing logged.")
    for k, values in domains.items():
        if (
            k not in hparam_dict
            or not isinstance(values, list)
            or not all(isinstance(v, type(hparam_dict[k])) for v in values)
        ):
            raise TypeError(
                f"parameter: hparam_domain_discrete[{k}] should be a list of same type as hparam_dict[{k}]."
            )


def hparams(
    hparam_dict: Any = None, metric_dict: Any = None, hparam_domain_discrete: Any = None
) -> tuple[Summary, ...]:
    """Hyperparameters and the names of metrics: an experiment, the start of a session and its end."""
    from tensorboard.plugins.hparams import metadata
    from tensorboard.plugins.hparams.api_pb2 import DataType, Experiment, HParamInfo, MetricInfo, MetricName, Status
    from tensorboard.plugins.hparams.plugin_data_pb2 import SessionEndInfo, SessionStartInfo

    domains = hparam_domain_discrete or {}
    _check_hparams(hparam_dict, metric_dict, domains)
    start, infos = SessionStartInfo(), []
    for k, v in hparam_dict.items():
        if v is None:
            continue
        if isinstance(v, torch.Tensor):
            v = float(make_np(v).reshape(-1)[0])
        if isinstance(v, (int, float)):
            field, kind = "number_value", "DATA_TYPE_FLOAT64"
        elif isinstance(v, str):
            field, kind = "string_value", "DATA_TYPE_STRING"
        else:
            raise ValueError("value should be one of int, float, str, bool, or torch.Tensor")
        setattr(start.hparams[k], field, v)
        infos.append(HParamInfo(name=k, type=DataType.Value(kind), domain_discrete=_choices(domains.get(k), field)))
    metrics = [MetricInfo(name=MetricName(tag=k)) for k in metric_dict]
    return (
        _session(metadata.EXPERIMENT_TAG, experiment=Experiment(hparam_infos=infos, metric_infos=metrics)),
        _session(metadata.SESSION_START_INFO_TAG, session_start_info=start),
        _session(metadata.SESSION_END_INFO_TAG, session_end_info=SessionEndInfo(status=Status.Value("STATUS_SUCCESS"))),
    )
