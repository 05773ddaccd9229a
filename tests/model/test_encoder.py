from __future__ import annotations

from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from model.encoder import IMAGENET_MEAN, IMAGENET_STD, Encoder, EncoderError, fingerprint, load_weights
from tests.shared import WEIGHTS, needs_weights


def torchvision_grid(network: nn.Module, images: torch.Tensor) -> torch.Tensor:
    """torchvision's own ResNet-50, run stage by stage to the 7x7 grid."""
    mean, std = (torch.tensor(v).view(1, 3, 1, 1) for v in (IMAGENET_MEAN, IMAGENET_STD))
    x = (images - mean) / std
    for name in ("conv1", "bn1", "relu", "maxpool", "layer1", "layer2", "layer3", "layer4"):
        x = getattr(network, name)(x)
    return x.flatten(2).transpose(1, 2)


@torch.inference_mode()
def test_it_computes_what_torchvisions_resnet50_computes(tmp_path: Path) -> None:
    from torchvision.models import resnet50

    torch.manual_seed(0)
    theirs = resnet50(weights=None).eval()
    for module in theirs.modules():  # fresh batch norms are identities: give them something to get wrong
        if isinstance(module, nn.BatchNorm2d):
            module.running_mean.normal_(0, 0.2)  # type: ignore[union-attr]  # never None here
            module.running_var.uniform_(0.5, 1.5)  # type: ignore[union-attr]  # likewise
            module.weight.uniform_(0.5, 1.5)
            module.bias.normal_(0, 0.2)
    save_file(theirs.state_dict(), tmp_path / "resnet50.safetensors")
    ours = Encoder()
    load_weights(ours, tmp_path / "resnet50.safetensors")
    images = torch.rand(2, 3, 224, 224)
    grid, expected = ours(images), torchvision_grid(theirs, images)
    assert grid.shape == (2, 49, 2048)
    torch.testing.assert_close(grid, expected, rtol=1e-3, atol=1e-3 * float(expected.abs().max()))


@needs_weights
def test_published_weights_load_whole() -> None:
    encoder = Encoder()
    before = fingerprint(encoder)
    load_weights(encoder, WEIGHTS)
    assert fingerprint(encoder) != before


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(EncoderError, match=r"no file at .*none\.safetensors"):
        load_weights(Encoder(4, (1, 1, 1, 1)), tmp_path / "none.safetensors")


def test_a_torn_file_is_named(tmp_path: Path) -> None:
    path = tmp_path / "torn.safetensors"
    path.write_bytes(b"\x10\0\0\0\0\0\0\0{")
    with pytest.raises(EncoderError, match=r"torn\.safetensors is not a readable"):
        load_weights(Encoder(4, (1, 1, 1, 1)), path)


def test_another_network_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "other.safetensors"
    save_file({"weight": torch.zeros(3)}, path)
    with pytest.raises(EncoderError, match="does not hold torchvision's ResNet-50 keys"):
        load_weights(Encoder(4, (1, 1, 1, 1)), path)


def test_training_mode_leaves_batch_norm_statistics_alone() -> None:
    encoder = Encoder(4, (1, 1, 1, 1)).train()
    before = {k: v.clone() for k, v in encoder.state_dict().items() if "running" in k}
    encoder(torch.rand(2, 3, 224, 224)).sum().backward()
    assert before and all(torch.equal(v, encoder.state_dict()[k]) for k, v in before.items())


def test_every_stage_learns() -> None:
    encoder = Encoder(4, (1, 1, 1, 1))
    encoder(torch.rand(2, 3, 224, 224)).square().mean().backward()
    assert all(p.grad is not None and bool(p.grad.abs().sum() > 0) for p in encoder.parameters())


def test_the_fingerprint_follows_the_weights() -> None:
    torch.manual_seed(0)
    encoder = Encoder(4, (1, 1, 1, 1))
    before = fingerprint(encoder)
    assert before == fingerprint(encoder)
    with torch.no_grad():
        encoder.conv1.weight[0, 0, 0, 0] += 1e-3
    assert fingerprint(encoder) != before
