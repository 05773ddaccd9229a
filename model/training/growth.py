"""A vocabulary that grows: words of the corrections that the champion does not know, appended at the end.

The indices of the old words stay, so that features, comparison and going back are untouched. A new word has the mean
row of the known words, and a lower bias than theirs, so that it is seldom said before it is learnt.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import replace

import torch

from model.checkpoint import Checkpoint
from model.decoder import Decoder
from model.vocabulary import SPECIALS, Vocabulary, tokenise

# Below the words' mean bias: what was never said before should not be said by chance.
SHY = 1.0


def new_words(photos: Iterable[Sequence[str]], vocabulary: Vocabulary, minimum: int) -> list[str]:
    """Words outside the vocabulary that the captions of at least `minimum` photos use, most used first; 0: none."""
    counts = Counter(word for captions in photos for word in {w for caption in captions for w in tokenise(caption)})
    found = [word for word, count in counts.items() if count >= minimum > 0 and word not in vocabulary.index]
    return sorted(found, key=lambda word: (-counts[word], word))


@torch.no_grad()
def grow(checkpoint: Checkpoint, words: Sequence[str]) -> Checkpoint:
    """The same captioner with a row more for each of `words` in its embedding, which is its output layer, too."""
    if not words:
        return checkpoint
    vocabulary = Vocabulary((*checkpoint.vocabulary.words, *words))
    config = replace(checkpoint.config, decoder=replace(checkpoint.config.decoder, vocabulary=len(vocabulary)))
    state = checkpoint.decoder.state_dict()
    rows, bias = state["embedding.weight"], state["bias"]
    known = slice(len(SPECIALS), None)
    mean = rows[known].mean(0, keepdim=True)
    state["embedding.weight"] = torch.cat([rows, mean.expand(len(words), -1)])
    state["bias"] = torch.cat([bias, (bias[known].mean() - SHY).expand(len(words))])
    decoder = Decoder(config.decoder)
    decoder.load_state_dict(state)
    return replace(checkpoint, config=config, decoder=decoder.eval(), vocabulary=vocabulary)
