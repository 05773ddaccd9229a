"""Words and their integer indices.

A word is a run of letters or digits, hyphens and apostrophes inside it kept ("t-shirt"), with the possessive "'s" a
word of its own, as the Flickr8k captions have it. The vocabulary is built from the train split alone.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path

SPECIALS = ("<pad>", "<start>", "<end>", "<unk>")
PAD, START, END, UNKNOWN = range(4)

WORD = re.compile(r"[^\W_]+(?:-[^\W_]+|'(?!s\b)[^\W_]+)*|'s\b")


class VocabularyError(ValueError):
    """A vocabulary file that cannot be used, or captions that give no vocabulary."""


def tokenise(caption: str) -> list[str]:
    """Lower-case words of a caption, punctuation left out; an empty list when it has none."""
    return WORD.findall(caption.lower().replace("\u2019", "'"))


def join(words: Sequence[str]) -> str:
    """Words to a line of text: what an annotator reads."""
    return " ".join(words).replace(" 's", "'s")


class Vocabulary:
    """`len(vocabulary)` words; index 0 to 3 are <pad>, <start>, <end> and <unk>."""

    def __init__(self, words: Sequence[str]) -> None:
        if tuple(words[:4]) != SPECIALS:
            raise VocabularyError(f"a vocabulary begins with {SPECIALS}, found {tuple(words[:4])}")
        if len(set(words)) != len(words):
            twice = [word for word, n in Counter(words).items() if n > 1]
            raise VocabularyError(f"a vocabulary holds each word once, found twice: {twice[:5]}")
        self.words = tuple(words)
        self.index = {word: index for index, word in enumerate(self.words)}

    @classmethod
    def build(cls, captions: Iterable[str], minimum: int) -> Vocabulary:
        """The words that occur at least `minimum` times, most frequent first, ties by alphabet."""
        counts = Counter(word for caption in captions for word in tokenise(caption))
        kept = sorted((word for word, n in counts.items() if n >= minimum), key=lambda word: (-counts[word], word))
        if not kept:
            raise VocabularyError(
                f"no word occurs {minimum} times in the captions given ({len(counts)} distinct words)"
            )
        return cls((*SPECIALS, *kept))

    @classmethod
    def load(cls, path: Path) -> Vocabulary:
        try:
            words = json.loads(path.read_text(encoding="utf-8"))
        except (OSError, ValueError) as error:
            raise VocabularyError(f"{path} is not a readable vocabulary ({error})") from error
        if not isinstance(words, list) or set(map(type, words)) - {str}:
            raise VocabularyError(f"{path} holds no list of words")
        return cls(words)

    def save(self, path: Path) -> None:
        path.write_text(json.dumps(self.words, ensure_ascii=False, indent=0) + "\n", encoding="utf-8")

    def __len__(self) -> int:
        return len(self.words)

    def encode(self, caption: str) -> list[int]:
        """Word indices, unknown words as <unk>; without <start> and <end>."""
        return [self.index.get(word, UNKNOWN) for word in tokenise(caption)]

    def decode(self, indices: Iterable[int]) -> list[str]:
        """Words up to the first <end>; <pad> and <start> left out."""
        words: list[str] = []
        for index in indices:
            if index == END:
                break
            if index not in (PAD, START):
                words.append(self.words[index])
        return words
