from __future__ import annotations

import resource
import struct
import zlib

import cv2
import numpy as np
import pytest
from PIL import Image

from model.preprocess import ImageError, read_image, read_pixels
from tests.photos import drawn, encoded

GRADIENT = np.linspace(0, 255, 300 * 200, dtype=np.uint8).reshape(200, 300)


def test_values_are_rgb_in_0_to_1_at_224() -> None:
    image = Image.new("RGB", (500, 300), (255, 128, 0))
    photo = read_image(encoded(image))
    assert photo.shape == (224, 224, 3) and photo.dtype == np.float32
    assert np.allclose(photo[100, 100], [1.0, 128 / 255, 0.0], atol=1e-6)


def test_resize_is_opencvs_area_average_over_the_whole_picture() -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (448, 672, 3), dtype=np.uint8)
    expected = cv2.resize(pixels, (224, 224), interpolation=cv2.INTER_AREA)
    assert np.array_equal(read_pixels(encoded(Image.fromarray(pixels))), expected)


def test_a_224_square_is_taken_as_it_is() -> None:
    image = drawn("red", "left")
    assert np.array_equal(read_pixels(encoded(image)), np.asarray(image))


@pytest.mark.parametrize("orientation", range(1, 9))
def test_exif_orientation_is_applied(orientation: int) -> None:
    upright = drawn("red", "left")
    turned = {
        1: upright,
        2: upright.transpose(Image.Transpose.FLIP_LEFT_RIGHT),
        3: upright.transpose(Image.Transpose.ROTATE_180),
        4: upright.transpose(Image.Transpose.FLIP_TOP_BOTTOM),
        5: upright.transpose(Image.Transpose.TRANSPOSE),
        6: upright.transpose(Image.Transpose.ROTATE_90),
        7: upright.transpose(Image.Transpose.TRANSVERSE),
        8: upright.transpose(Image.Transpose.ROTATE_270),
    }[orientation]
    exif = Image.Exif()
    exif[0x0112] = orientation
    assert np.array_equal(read_pixels(encoded(turned, exif=exif)), np.asarray(upright))


def test_greyscale_gets_three_equal_channels() -> None:
    pixels = read_pixels(encoded(Image.fromarray(GRADIENT)))
    assert np.array_equal(pixels[:, :, 0], pixels[:, :, 2]) and int(pixels.max()) > 240


def test_sixteen_bits_become_eight() -> None:
    deep = Image.fromarray(GRADIENT.astype(np.uint16) * 257)
    assert np.array_equal(read_pixels(encoded(deep)), read_pixels(encoded(Image.fromarray(GRADIENT))))


def test_cmyk_jpeg_keeps_its_colour() -> None:
    red, green, blue = read_pixels(encoded(Image.new("RGB", (300, 300), (200, 30, 40)).convert("CMYK"), "JPEG"))[
        100, 100
    ]
    assert red > 150 and green < 80 and blue < 80


def test_alpha_is_laid_on_white() -> None:
    assert read_pixels(encoded(Image.new("RGBA", (50, 50), (255, 0, 0, 0)))).min() == 255


def test_palette_transparency_is_laid_on_white() -> None:
    image = Image.new("P", (50, 50), 0)
    image.putpalette([0, 0, 0] * 256)
    assert read_pixels(encoded(image, "GIF", transparency=0)).min() == 255


def test_of_an_animation_the_first_frame_counts() -> None:
    frames = [Image.new("RGB", (60, 60), colour) for colour in ("red", "blue")]
    data = encoded(frames[0], "GIF", save_all=True, append_images=frames[1:])
    assert read_pixels(data)[0, 0].tolist() == [255, 0, 0]


@pytest.mark.parametrize("kind", ["JPEG", "WEBP", "BMP", "TIFF", "PPM"])
def test_other_formats(kind: str) -> None:
    assert read_pixels(encoded(Image.new("RGB", (100, 80), (10, 200, 10)), kind))[50, 50, 1] > 180


@pytest.mark.parametrize(
    ("data", "says"),
    [
        (b"", "no bytes at all"),
        (b"<html>404</html>", "16 bytes beginning 3c 68 74"),
        (encoded(drawn("red", "left"))[:-200], "torn or malformed"),
        (encoded(drawn("red", "left"), "JPEG")[:2000], "torn or malformed"),
        (b"\x89PNG\r\n\x1a\n" + b"\0" * 40, "not a picture|torn or malformed"),
        (b"<svg xmlns='http://www.w3.org/2000/svg'/>", "not a picture"),
    ],
)
def test_what_is_no_picture_is_said_plainly(data: bytes, says: str) -> None:
    with pytest.raises(ImageError, match=says):
        read_image(data)


def png_claiming(width: int, height: int) -> bytes:
    """A small PNG whose header claims a huge, perfectly compressible picture."""

    def chunk(kind: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", header)
        + chunk(b"IDAT", zlib.compress(bytes(100_000)))
        + chunk(b"IEND", b"")
    )


@pytest.mark.parametrize("side", [7_000, 13_000, 60_000])
def test_a_bomb_is_refused_by_its_header_before_memory_is_taken(side: int) -> None:
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with pytest.raises(ImageError, match="at most 40,000,000"):
        read_image(png_claiming(side, side))
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 50_000  # KiB


def test_the_limit_can_be_set() -> None:
    data = encoded(Image.new("RGB", (100, 100)))
    assert read_image(data, max_pixels=10_000).shape == (224, 224, 3)
    with pytest.raises(ImageError, match="at most 9,999"):
        read_image(data, max_pixels=9_999)
