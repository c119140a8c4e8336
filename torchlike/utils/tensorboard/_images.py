"""Tensors, figures and videos as arrays of pixels."""

# pyright: reportMissingImports=false, reportMissingModuleSource=false

from __future__ import annotations

import io
import math
from collections.abc import Sequence
from typing import Any

import numpy as np

import torchlike as torch


def make_np(x: Any) -> np.ndarray:
    """A tensor, number or array as a NumPy array; bfloat16 as float16."""
    if isinstance(x, np.ndarray):
        return x
    if np.isscalar(x):
        return np.array([x])
    if isinstance(x, torch.Tensor):
        x = x.detach().cpu()
        return (x.to(torch.float16) if x.dtype is torch.bfloat16 else x).numpy()
    raise NotImplementedError(f"Got {type(x)}, but numpy array or torch tensor are expected.")


def make_grid(images: np.ndarray, columns: int = 8) -> np.ndarray:
    """Images (N, 1 or 3, H, W) side by side in rows of at most ``columns``: (3, height, width)."""
    if images.shape[1] == 1:
        images = np.repeat(images, 3, 1)
    if images.ndim != 4 or images.shape[1] != 3:
        raise AssertionError("Input should be a 4D numpy array with 3 channels")
    n, _, height, width = images.shape
    columns = min(n, columns)
    canvas = np.zeros((3, height * math.ceil(n / columns), width * columns), images.dtype)
    for i, image in enumerate(images):
        y, x = divmod(i, columns)
        canvas[:, y * height : (y + 1) * height, x * width : (x + 1) * width] = image
    return canvas


def as_hwc(array: np.ndarray, dataformats: str) -> np.ndarray:
    """An image, or a batch of them as one grid, given in the order ``dataformats``, as (height, width, channels)."""
    if len(set(dataformats)) != len(dataformats):
        raise AssertionError(
            f"You can not use the same dimension shorthand twice.             input_format: {dataformats}"
        )
    if array.ndim != len(dataformats):
        raise AssertionError(
            "size of input tensor and input format are different.         tensor shape: "
            f"{array.shape}, input_format: {dataformats}"
        )
    letters = dataformats.upper()
    if len(letters) == 4:
        return make_grid(array.transpose([letters.find(c) for c in "NCHW"])).transpose(1, 2, 0)
    if len(letters) == 3:
        image = array.transpose([letters.find(c) for c in "HWC"])
        return np.repeat(image, 3, 2) if image.shape[2] == 1 else image
    image = array.transpose([letters.find(c) for c in "HW"])
    return np.stack([image] * 3, 2)


def as_bytes(array: np.ndarray) -> np.ndarray:
    """Pixels as uint8: those of other types count from 0 to 1."""
    scale = 1 if array.dtype == np.uint8 else 255
    return (array.astype(np.float32) * scale).clip(0, 255).astype(np.uint8)


def png(image: Any) -> bytes:
    """A Pillow image as the bytes of a PNG file."""
    buffer = io.BytesIO()
    image.save(buffer, format="PNG")
    return buffer.getvalue()


def draw_boxes(image: Any, boxes: np.ndarray, labels: Sequence[str] | None) -> None:
    """Draw red rectangles (left, top, right, bottom) into a Pillow image, each with its label."""
    from PIL import ImageDraw, ImageFont

    draw, font = ImageDraw.Draw(image), ImageFont.load_default()
    for i, (left, top, right, bottom) in enumerate(boxes[:, :4].tolist()):
        draw.line([(left, top), (left, bottom), (right, bottom), (right, top), (left, top)], width=2, fill="Red")
        if labels is None or not labels[i]:
            continue
        x0, y0, x1, y1 = font.getbbox(labels[i])
        width, height = x1 - x0, y1 - y0
        margin = math.ceil(0.05 * height)
        draw.rectangle([(left, bottom - height - 2 * margin), (left + width, bottom)], fill="Red")
        draw.text((left + margin, bottom - height - margin), labels[i], fill="black", font=font)


def figure_to_image(figures: Any, close: bool = True) -> np.ndarray:
    """A figure of Matplotlib as pixels (3, H, W); a list of them as (N, 3, H, W)."""
    import matplotlib.pyplot as plt
    from matplotlib.backends.backend_agg import FigureCanvasAgg

    def render(figure: Any) -> np.ndarray:
        canvas = FigureCanvasAgg(figure)
        canvas.draw()
        pixels = np.asarray(canvas.buffer_rgba())[:, :, :3]
        if close:
            plt.close(figure)
        return np.moveaxis(pixels, 2, 0)

    return np.stack([render(f) for f in figures]) if isinstance(figures, list) else render(figures)


def video_frames(video: np.ndarray) -> np.ndarray:
    """Videos (N, time, channels, H, W) as the frames of one (time, height, width, channels), side by side."""
    n, frames, channels, height, width = video.shape
    if video.dtype == np.uint8:
        video = video.astype(np.float32) / 255.0
    whole = 1 << (n - 1).bit_length()
    video = np.concatenate([video, np.zeros((whole - n, frames, channels, height, width))], 0) if whole > n else video
    rows = 2 ** ((n.bit_length() - 1) // 2)
    columns = whole // rows
    video = video.reshape(rows, columns, frames, channels, height, width).transpose(2, 0, 4, 1, 5, 3)
    return video.reshape(frames, rows * height, columns * width, channels)


def gif(frames: np.ndarray, fps: float) -> bytes:
    """Frames as the bytes of a GIF file."""
    from PIL import Image

    images = [Image.fromarray(frame.squeeze(-1) if frame.shape[-1] == 1 else frame) for frame in as_bytes(frames)]
    buffer = io.BytesIO()
    images[0].save(buffer, format="GIF", save_all=True, append_images=images[1:], duration=1000 / fps, loop=0)
    return buffer.getvalue()
