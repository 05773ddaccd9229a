from __future__ import annotations

import io
import resource
import struct
import zlib

import cv2
import numpy as np
import pytest
from PIL import Image

from model import preprocess
from model.preprocess import ImageError, Pixels, read_image, read_pixels, resize
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


def photo(width: int, height: int) -> Image.Image:
    """Smooth at every scale, and lively enough that a wrong place, channel or brightness shows."""
    coarse = np.random.default_rng(0).integers(0, 256, (12, 16, 3), dtype=np.uint8)
    return Image.fromarray(cv2.resize(coarse, (width, height), interpolation=cv2.INTER_CUBIC))


@pytest.mark.parametrize("size", [(1343, 1343), (4000, 1343), (640, 480)])
def test_a_jpeg_that_is_not_large_is_decoded_in_full(size: tuple[int, int]) -> None:
    data = encoded(photo(*size), "JPEG")
    with Image.open(io.BytesIO(data)) as image:
        expected = resize(np.asarray(image.convert("RGB")))
    assert np.array_equal(read_pixels(data), expected)


@pytest.mark.parametrize("orientation", [1, 6])
@pytest.mark.parametrize("mode", ["RGB", "L"])
def test_a_large_jpeg_is_decoded_at_a_fraction_of_its_size_to_nearly_the_same_pixels(
    monkeypatch: pytest.MonkeyPatch, orientation: int, mode: str
) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    data = encoded(photo(2800, 2100).convert(mode), "JPEG", exif=exif)
    decoded: list[tuple[int, ...]] = []

    def noted(pixels: Pixels) -> Pixels:
        decoded.append(pixels.shape)
        return resize(pixels)

    monkeypatch.setattr(preprocess, "resize", noted)
    drafted = read_pixels(data)
    monkeypatch.setattr(preprocess, "DRAFT", 10_000)
    full = read_pixels(data)
    shapes = [(1050, 1400, 3), (2100, 2800, 3)] if orientation == 1 else [(1400, 1050, 3), (2800, 2100, 3)]
    assert decoded == shapes, "at a half, where each side stays thrice 224"
    assert np.abs(drafted.astype(int) - full).mean() < 0.5


def test_a_large_jpeg_that_is_torn_is_refused_all_the_same() -> None:
    data = encoded(photo(2800, 2100), "JPEG")
    with pytest.raises(ImageError, match="torn"):
        read_pixels(data[: len(data) // 2])


def test_the_size_in_the_header_counts_and_not_what_is_decoded_of_it() -> None:
    with pytest.raises(ImageError, match="2800x2100"):
        read_pixels(encoded(photo(2800, 2100), "JPEG"), max_pixels=5_000_000)


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
