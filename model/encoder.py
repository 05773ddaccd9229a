"""ResNet-50 (He et al., 2015) up to its last 7x7 grid, under torchvision's key names.

The encoder owns the ImageNet mean and standard deviation: what goes in is RGB in [0, 1], what comes out is one vector
of 2048 numbers for each of the 49 places of the image. Batch-norm statistics are frozen for good, in training too, so
every batch norm is an affine map that folds into the convolution before it: one pass over the activations, not two.

Weights come from torchvision (`imagenet_weights`), from a local file of the same key names (`load_weights`), or from a
checkpoint folder (`model.checkpoint`).
"""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import cast

import torch
import torch.nn.functional as F
from safetensors.torch import load_file
from torch import Tensor, nn

IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)
GRID = 7
CHANNELS = 2048
STAGES = (3, 4, 6, 3)


class EncoderError(ValueError):
    """Encoder weights that cannot be used: says which file, what was found and what is accepted."""


def fold(conv: nn.Conv2d, norm: nn.BatchNorm2d) -> tuple[Tensor, Tensor]:
    """The weight and bias of the one convolution that equals `norm(conv(x))` with frozen statistics."""
    running_mean, running_var = cast(Tensor, norm.running_mean), cast(Tensor, norm.running_var)
    scale = norm.weight * torch.rsqrt(running_var + norm.eps)
    return conv.weight * scale[:, None, None, None], norm.bias - running_mean * scale


def conv_norm(x: Tensor, conv: nn.Conv2d, norm: nn.BatchNorm2d) -> Tensor:
    weight, bias = fold(conv, norm)
    return F.conv2d(x, weight, bias, conv.stride, conv.padding)


class Bottleneck(nn.Module):
    """1x1 down, 3x3 (which carries the stride), 1x1 up, and the shortcut."""

    def __init__(self, inputs: int, width: int, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(inputs, width, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(width)
        self.conv2 = nn.Conv2d(width, width, 3, stride, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(width)
        self.conv3 = nn.Conv2d(width, width * 4, 1, bias=False)
        self.bn3 = nn.BatchNorm2d(width * 4)
        self.downsample: nn.Sequential | None = None
        if stride != 1 or inputs != width * 4:
            self.downsample = nn.Sequential(
                nn.Conv2d(inputs, width * 4, 1, stride, bias=False), nn.BatchNorm2d(width * 4)
            )

    def forward(self, x: Tensor) -> Tensor:
        shortcut = x
        if self.downsample is not None:
            shortcut = conv_norm(x, cast(nn.Conv2d, self.downsample[0]), cast(nn.BatchNorm2d, self.downsample[1]))
        y = F.relu(conv_norm(x, self.conv1, self.bn1), inplace=True)
        y = F.relu(conv_norm(y, self.conv2, self.bn2), inplace=True)
        return F.relu(conv_norm(y, self.conv3, self.bn3) + shortcut, inplace=True)


def stage(inputs: int, width: int, blocks: int, stride: int) -> nn.Sequential:
    first = Bottleneck(inputs, width, stride)
    return nn.Sequential(first, *(Bottleneck(width * 4, width, 1) for _ in range(blocks - 1)))


class Encoder(nn.Module):
    """(B, 3, 224, 224) RGB in [0, 1] to (B, 49, 2048), rows of the grid from the top left."""

    mean: Tensor
    std: Tensor

    def __init__(self, width: int = 64, blocks: tuple[int, ...] = STAGES) -> None:
        """`width` and `blocks` are ResNet-50's; smaller ones make the small encoders that tests run."""
        super().__init__()
        self.conv1 = nn.Conv2d(3, width, 7, 2, 3, bias=False)
        self.bn1 = nn.BatchNorm2d(width)
        self.layer1 = stage(width, width, blocks[0], 1)
        self.layer2 = stage(width * 4, width * 2, blocks[1], 2)
        self.layer3 = stage(width * 8, width * 4, blocks[2], 2)
        self.layer4 = stage(width * 16, width * 8, blocks[3], 2)
        self.places, self.channels = GRID * GRID, width * 32
        self.register_buffer("mean", torch.tensor(IMAGENET_MEAN).view(1, 3, 1, 1), persistent=False)
        self.register_buffer("std", torch.tensor(IMAGENET_STD).view(1, 3, 1, 1), persistent=False)
        self.to(memory_format=torch.channels_last)

    def forward(self, images: Tensor) -> Tensor:
        return self.top(self.body(images))

    def body(self, images: Tensor) -> Tensor:
        """All but the last stage: (B, 3, 224, 224) to (B, 196, 1024), rows of a 14x14 grid."""
        x = (images - self.mean) / self.std  # (B, 3, 224, 224)
        x = F.relu(conv_norm(x, self.conv1, self.bn1), inplace=True)  # (B, 64, 112, 112)
        x = F.max_pool2d(x, 3, 2, 1)  # (B, 64, 56, 56)
        x = self.layer1(x)  # (B, 256, 56, 56)
        x = self.layer2(x)  # (B, 512, 28, 28)
        x = self.layer3(x)  # (B, 1024, 14, 14)
        places: Tensor = x.flatten(2).transpose(1, 2)  # (B, 196, 1024)
        return places

    def top(self, places: Tensor) -> Tensor:
        """The last stage: (B, 196, 1024) to (B, 49, 2048)."""
        x = places.transpose(1, 2).reshape(len(places), -1, 2 * GRID, 2 * GRID)  # (B, 1024, 14, 14), channels last
        grid: Tensor = self.layer4(x).flatten(2).transpose(1, 2)  # (B, 49, 2048)
        return grid


class Body(nn.Module):
    """All of an encoder but its last stage, with the encoder's own weights: what training that stage may cache."""

    def __init__(self, encoder: Encoder) -> None:
        super().__init__()
        self.forward = encoder.body  # one definition of the layers
        self.parts = nn.ModuleList([encoder.conv1, encoder.bn1, encoder.layer1, encoder.layer2, encoder.layer3])
        self.places, self.channels = 4 * encoder.places, encoder.channels // 2


def to_grid(encoder: Encoder, inputs: Tensor) -> Tensor:
    """What is left to compute of the features (B, 49, C): nothing of cached ones, the last stage of a cached Body's
    output (B, 196, C / 2), all of photos (B, 3, 224, 224)."""
    if inputs.dim() == 4:
        photos: Tensor = encoder(inputs)
        return photos
    return inputs if inputs.shape[1] == encoder.places else encoder.top(inputs)


def load_weights(encoder: Encoder, path: Path) -> None:
    """Load a `.safetensors` file in torchvision's key names; the classifier `fc.*` is ignored, anything else must fit.

    Raises EncoderError when the file is missing, torn or of another network.
    """
    if not path.is_file():
        raise EncoderError(
            f"encoder weights: no file at {path}; give a .safetensors file of a ResNet-50, or 'torchvision'"
        )
    try:
        state = load_file(path)
    except Exception as error:  # safetensors raises its own SafetensorError, OSError and ValueError alike
        raise EncoderError(f"encoder weights: {path} is not a readable .safetensors file ({error})") from error
    load_state(encoder, state, str(path))


def load_state(encoder: Encoder, state: dict[str, Tensor], source: str) -> None:
    state = {key: value.float() for key, value in state.items() if not key.startswith("fc.")}
    # num_batches_tracked only steers batch-norm momentum, which frozen statistics never use.
    state |= {k: v for k, v in encoder.state_dict().items() if k.endswith("num_batches_tracked")}
    try:
        encoder.load_state_dict(state, strict=True)
    except RuntimeError as error:
        raise EncoderError(f"encoder weights: {source} does not hold torchvision's ResNet-50 keys: {error}") from error


def imagenet_weights(encoder: Encoder) -> None:
    """Load torchvision's ImageNet weights (`ResNet50_Weights.DEFAULT`), downloading them on the first use.

    Raises EncoderError when they can be had neither from torchvision's cache nor from the network.
    """
    from torchvision.models import ResNet50_Weights

    try:
        state = ResNet50_Weights.DEFAULT.get_state_dict(progress=True, check_hash=True)
    except Exception as error:  # urllib, ssl and hub errors have no common base
        raise EncoderError(
            f"encoder weights: torchvision could not fetch its ImageNet ResNet-50 ({error}); "
            "put the weights on disk and pass --encoder FILE.safetensors instead"
        ) from error
    load_state(encoder, state, "torchvision")


def fingerprint(encoder: nn.Module) -> str:
    """Sixteen hex digits that change whenever a weight of the encoder changes: the key of cached features."""
    digest = hashlib.sha256()
    for key, value in sorted(encoder.state_dict().items()):
        if not key.endswith("num_batches_tracked"):
            digest.update(key.encode())
            digest.update(value.detach().cpu().float().contiguous().numpy().tobytes())
    return digest.hexdigest()[:16]
