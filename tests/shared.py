"""Real photos, captions and weights, when a folder `shared` lies beside the checkout; tests that need it else skip."""

from __future__ import annotations

from pathlib import Path

import pytest

SHARED = Path(__file__).parents[2] / "shared"
FLICKR8K = SHARED / "data" / "flickr8k"
COCO2017 = SHARED / "data" / "coco2017"
WEIGHTS = SHARED / "weights" / "resnet50-imagenet-fp16.safetensors"

needs_flickr8k = pytest.mark.skipif(not FLICKR8K.is_dir(), reason="no Flickr8k at ../shared/data/flickr8k")
needs_coco2017 = pytest.mark.skipif(not COCO2017.is_dir(), reason="no COCO 2017 at ../shared/data/coco2017")
needs_weights = pytest.mark.skipif(not WEIGHTS.is_file(), reason="no ImageNet weights at ../shared/weights")
