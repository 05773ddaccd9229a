"""Pictures that are on every machine: photos that installed packages bring along, whole and in quarters.

The captioner converts itself where it serves, and there may be no data set there. A quarter of a photo, stretched like
any other, is another picture to the network: other edges, other colours, other sizes of things.
"""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path

from model.engines.engine import EngineError
from model.preprocess import SIZE, ImageError, Pixels, read_pixels, resize

# CC0 or in the public domain: scikit-image says so of each in skimage.data; the portrait was made by the US Navy.
PHOTOS = {
    "skimage": (
        "data/astronaut.png",
        "data/camera.png",
        "data/chelsea.png",
        "data/coffee.png",
        "data/motorcycle_left.png",
        "data/rocket.jpg",
    ),
    "matplotlib": ("mpl-data/sample_data/grace_hopper.jpg",),
}
FEWEST = 5


def free_pictures() -> list[Pixels]:
    """Five pictures (224, 224, 3) uint8 of each photo. Raises EngineError where too few of the photos are here."""
    found = [picture for package, names in PHOTOS.items() for name in names if (picture := _read(package, name))]
    if len(found) < FEWEST:
        raise EngineError(
            f"{len(found)} of the photos to calibrate by are here, and {FEWEST} are needed; they come with "
            "scikit-image and matplotlib: pip install -r requirements.txt"
        )
    return [picture for photo in found for picture in photo]


def _read(package: str, name: str) -> list[Pixels]:
    spec = find_spec(package)  # found, not imported: the packages take seconds to import
    folder = Path(spec.submodule_search_locations[0]) if spec and spec.submodule_search_locations else Path(package)
    try:
        whole = read_pixels((folder / name).read_bytes())
    except (OSError, ImageError):  # another release of the package may have left it out
        return []
    half = SIZE // 2
    corners = [(top, left) for top in (0, half) for left in (0, half)]
    return [whole, *(resize(whole[top : top + half, left : left + half]) for top, left in corners)]
