"""Bytes to the picture the network sees: 224x224 RGB in [0, 1].

Pillow decodes, because it can refuse a picture by its header before any pixel is decoded; OpenCV resizes. The whole
picture is stretched to the square, nothing is cropped, in training and in serving alike. The ImageNet mean and
standard deviation belong to the encoder.
"""

from __future__ import annotations

import io
import warnings

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps, UnidentifiedImageError

SIZE = 224
MAX_PIXELS = 40_000_000
FORMATS = ("JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF", "PPM")
# Changes whenever the same bytes would give other pixels: part of the key of cached features, and of a checkpoint.
VERSION = "stretch224-area-1"
# A JPEG is decoded at a half, a quarter or an eighth of its size where each side stays at least thrice SIZE, so for
# photos of 1,344 pixels and more: a camera's 4000x3000 in a fifth of the time. VERSION has stayed: no photo of
# Flickr8k or COCO is that large. Measured on 60 photos of 4000x3000: pixels move by 0.33 of 255 on average, and 53 of
# 60 captions stay the same, as many as when one row of pixels is cut off (0.47 of 255), at the same mean score.
DRAFT = 3 * SIZE

Pixels = NDArray[np.uint8]
Photo = NDArray[np.float32]


class ImageError(ValueError):
    """Bytes that are no picture, or a picture too large or too torn to decode; the message says which."""


def read_image(data: bytes, *, max_pixels: int = MAX_PIXELS) -> Photo:
    """Encoded picture to float32 (224, 224, 3), RGB in [0, 1]. Raises ImageError."""
    return to_float(read_pixels(data, max_pixels=max_pixels))


def read_pixels(data: bytes, *, max_pixels: int = MAX_PIXELS) -> Pixels:
    """Encoded picture to uint8 (224, 224, 3), RGB. Raises ImageError.

    The EXIF orientation is applied, alpha is laid on white, 16-bit is scaled to 8, of an animation the first frame
    counts.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # Pillow warns of odd metadata; the size is checked here
            with Image.open(io.BytesIO(data), formats=FORMATS) as image:
                check_size(image, max_pixels)
                image.draft(None, (DRAFT, DRAFT))
                return resize(to_rgb(ImageOps.exif_transpose(image)))
    except ImageError:
        raise
    except UnidentifiedImageError as error:
        raise ImageError(f"not a picture: {describe(data)}; accepted are {', '.join(FORMATS)}") from error
    except Image.DecompressionBombError as error:  # Pillow's own, far higher limit comes before ours
        raise ImageError(f"the picture is too large: at most {max_pixels:,} pixels are decoded ({error})") from error
    except (OSError, ValueError, SyntaxError, EOFError) as error:
        raise ImageError(f"the picture is torn or malformed ({error}); save it again and retry") from error


def check_size(image: Image.Image, max_pixels: int) -> None:
    """Refuse by the header's word, before anything is decoded: a 20 KB file can claim a gigabyte of pixels."""
    width, height = image.size
    if width * height > max_pixels:
        raise ImageError(
            f"the picture is {width}x{height} = {width * height:,} pixels; "
            f"at most {max_pixels:,} are decoded: scale it down"
        )


def describe(data: bytes) -> str:
    return f"{len(data):,} bytes beginning {data[:8].hex(' ')}" if data else "no bytes at all"


def to_rgb(image: Image.Image) -> Pixels:
    if image.mode.startswith("I") or image.mode == "F":
        return grey_to_rgb(to_eight_bits(np.asarray(image)))
    if image.mode in ("RGBA", "LA", "PA", "RGBa", "La") or "transparency" in image.info:
        image = image.convert("RGBA")
        white = Image.new("RGBA", image.size, "white")
        image = Image.alpha_composite(white, image)
    return np.asarray(image.convert("RGB"))


def to_eight_bits(grey: NDArray[np.generic]) -> Pixels:
    """Sixteen-bit greys lose their low byte; wider integers and floats are taken to span their own range."""
    values = grey.astype(np.float64)
    if grey.dtype.itemsize == 2 or (grey.dtype.kind in "iu" and 255 < values.max() <= 65535):
        return (values / 257).round().astype(np.uint8)
    low, high = float(values.min()), float(values.max())
    if 0 <= low and high <= 255 and grey.dtype.kind in "iu":
        return values.astype(np.uint8)
    return ((values - low) / (high - low or 1.0) * 255).round().astype(np.uint8)


def grey_to_rgb(grey: Pixels) -> Pixels:
    return np.repeat(grey[:, :, None], 3, axis=2)


def resize(pixels: Pixels) -> Pixels:
    """Stretch to 224x224: area averaging when shrinking, which does not alias, linear when growing."""
    height, width = pixels.shape[:2]
    if (height, width) == (SIZE, SIZE):
        return np.ascontiguousarray(pixels)
    method = cv2.INTER_AREA if min(height, width) >= SIZE else cv2.INTER_LINEAR
    return np.asarray(cv2.resize(pixels, (SIZE, SIZE), interpolation=method), dtype=np.uint8)


def to_float(pixels: Pixels) -> Photo:
    return pixels.astype(np.float32) / np.float32(255)
