"""Points for TensorBoard's projector: files of coordinates, labels and small pictures next to the log."""

# pyright: reportMissingImports=false, reportMissingModuleSource=false

from __future__ import annotations

import math
import os
from typing import Any

import numpy as np

from torchlike.utils.tensorboard._images import make_grid, make_np, png


def encode(tag: str) -> str:
    """A tag as a folder's name."""
    return tag.replace("%", "%25").replace("/", "%2f").replace("\\", "%5c")


def write(folder: str, points: np.ndarray, metadata: Any, label_img: Any, header: Any) -> None:
    """Write the files of an embedding to a folder."""
    if metadata is not None:
        if points.shape[0] != len(metadata):
            raise AssertionError("#labels should equal with #data points")
        rows = [str(x) for x in metadata]
        if header:
            if len(header) != len(metadata[0]):
                raise AssertionError("len of header must be equal to the number of columns in metadata")
            rows = ["\t".join(str(e) for e in row) for row in [header, *metadata]]
        with open(os.path.join(folder, "metadata.tsv"), "w", encoding="utf-8") as file:
            file.write("\n".join(rows) + "\n")
    if label_img is not None:
        if points.shape[0] != label_img.shape[0]:
            raise AssertionError("#images should equal with #data points")
        with open(os.path.join(folder, "sprite.png"), "wb") as image:
            image.write(_sprite(make_np(label_img)))
    if points.ndim != 2:
        raise AssertionError("mat should be 2D, where mat.size(0) is the number of data points")
    with open(os.path.join(folder, "tensors.tsv"), "w", encoding="utf-8") as file:
        for row in points:
            file.write("\t".join(str(x) for x in row.tolist()) + "\n")


def _sprite(images: np.ndarray) -> bytes:
    """All images in a square, as a PNG file."""
    from PIL import Image

    grid = make_grid(images, math.ceil(images.shape[0] ** 0.5)).transpose(1, 2, 0)
    square = np.zeros((grid.shape[1], grid.shape[1], 3))
    square[: grid.shape[0]] = grid
    return png(Image.fromarray(np.uint8((square * 255).clip(0, 255))))


def describe(metadata: Any, label_img: Any, subdir: str, global_step: int, tag: str) -> Any:
    """The projector's description of an embedding."""
    from tensorboard.plugins.projector.projector_config_pb2 import EmbeddingInfo

    info = EmbeddingInfo()
    info.tensor_name = f"{tag}:{str(global_step).zfill(5)}"
    info.tensor_path = f"{subdir}/tensors.tsv"
    if metadata is not None:
        info.metadata_path = f"{subdir}/metadata.tsv"
    if label_img is not None:
        info.sprite.image_path = f"{subdir}/sprite.png"
        info.sprite.single_image_dim.extend([label_img.shape[3], label_img.shape[2]])
    return info
