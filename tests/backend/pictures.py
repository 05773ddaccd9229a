"""Tasks with real pictures in them, and the label config that Label Studio's own template has."""

import base64
from typing import Any

import cv2
import numpy as np

OFFICIAL_CONFIG = """<View>
  <Image name="image" value="$captioning"/>
  <Header value="Describe the image:"/>
  <TextArea name="caption" toName="image" placeholder="Enter description here..." rows="5" maxSubmissions="1"/>
</View>"""


def png(seed: int = 0, width: int = 320, height: int = 240) -> bytes:
    """A picture that compresses badly, as photos do."""
    pixels = np.random.default_rng(seed).integers(0, 255, (height, width, 3), dtype=np.uint8)
    return cv2.imencode(".png", cv2.GaussianBlur(pixels, (9, 9), 3))[1].tobytes()


def jpeg(seed: int = 0, width: int = 1200, height: int = 900) -> bytes:
    """A picture of a photo's size, in pixels and in bytes."""
    pixels = np.random.default_rng(seed).integers(0, 255, (height, width, 3), dtype=np.uint8)
    return cv2.imencode(".jpg", cv2.GaussianBlur(pixels, (9, 9), 3))[1].tobytes()


def data_uri(data: bytes) -> str:
    return "data:image/png;base64," + base64.b64encode(data).decode()


def task(number: int, uri: str | None = None) -> dict[str, Any]:
    """A task as Label Studio sends it to /predict."""
    return {
        "id": number,
        "data": {"captioning": data_uri(png(number)) if uri is None else uri},
        "meta": {},
        "project": 1,
        "inner_id": number,
        "overlap": 1,
        "is_labeled": False,
        "annotations": [],
        "predictions": [],
        "file_upload": None,
        "total_annotations": 0,
    }
