"""Whether a converted captioner may stand in for the one that it was made from.

Both caption the same pictures. Equal captions prove something, unequal ones little: two captions can be equally good.
So the float32 model is asked, too, by how much it ranks the converted model's captions below its own. Rounding that
does no harm swaps one caption for another about as likely; rounding that does harm ends in captions that the model
itself would not have written.

The limits were set by roundings made worse on purpose. Of the starter's captions of the free pictures, with 7 bits a
weight 74 % stay the same and 0.007 nats a word are lost; with 8 bits, whose sums overflow on CPUs without VNNI, 46 %
and 0.055 nats, and 2.4 points of BLEU-4 on 200 photos of Flickr8k dev; with 5 bits 23 % and 0.117 nats.
"""

from __future__ import annotations

from dataclasses import dataclass
from statistics import fmean

import torch
from torch import Tensor

from model.beam import Hypothesis, beam_search
from model.checkpoint import Decoding
from model.decoder import Decoder
from model.stepper import Stepper
from model.vocabulary import END, START

LEAST_SAME = 0.5
# Nats a word.
MOST_LOSS = 0.03


@dataclass(frozen=True)
class Verdict:
    """`same`: the share of equal captions; `loss`: by how many nats a word the others are less likely, on average over
    all pictures."""

    pictures: int
    same: float
    loss: float

    @property
    def fault(self) -> str:
        """Why the converted captioner may not serve; empty if it may."""
        if self.same >= LEAST_SAME and self.loss <= MOST_LOSS:  # neither holds of what is not a number
            return ""
        return (
            f"of its captions of {self.pictures} pictures {self.same:.0%} are those of float32, at least "
            f"{LEAST_SAME:.0%} are expected, and they are {self.loss:.3f} nats a word less likely, at most {MOST_LOSS} "
            "are accepted"
        )


@torch.inference_mode()
def judge(decoder: Decoder, grid: Tensor, converted: Stepper, its_grid: Tensor, decoding: Decoding) -> Verdict:
    """The captions of `converted` from its own features against those of `decoder`: features (N, 49, C) each."""
    theirs = beam_search(decoder, grid, decoding.beam, length_power=decoding.length_power)
    its = beam_search(converted, its_grid, decoding.beam, length_power=decoding.length_power)
    pairs = list(zip(theirs, its, strict=True))
    losses = [
        (rank(decoder, image, a, decoding) - rank(decoder, image, b, decoding)) / a.steps ** (1 - decoding.length_power)
        for image, (a, b) in zip(grid, pairs, strict=True)
    ]
    return Verdict(len(grid), fmean(a.tokens == b.tokens for a, b in pairs), fmean(losses))


def rank(decoder: Decoder, image: Tensor, caption: Hypothesis, decoding: Decoding) -> float:
    """What the decoder's search ranks a caption of the image (49, C) by: log-probability / steps ** length_power."""
    said = torch.tensor([[START, *caption.tokens][: caption.steps]])  # (1, T)
    following = torch.tensor([*caption.tokens, END][: caption.steps])  # (T,)
    scores = decoder(decoder.read(image.unsqueeze(0)), said, torch.tensor([caption.steps]))  # (T, V)
    total = torch.log_softmax(scores, -1).gather(1, following.unsqueeze(1)).sum()
    return float(total / caption.steps**decoding.length_power)
