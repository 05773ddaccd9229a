"""What a draft costs an annotator: the words to insert, delete or replace until it says what a person would."""

from __future__ import annotations

from collections.abc import Sequence

from model.vocabulary import tokenise


def word_edits(draft: str, text: str) -> int:
    """Levenshtein's distance between two captions, counted in words; case and punctuation cost nothing."""
    ours, theirs = tokenise(draft), tokenise(text)
    row = list(range(len(theirs) + 1))
    for i, word in enumerate(ours, 1):
        diagonal, row[0] = row[0], i
        for j, other in enumerate(theirs, 1):
            diagonal, row[j] = row[j], min(row[j] + 1, row[j - 1] + 1, diagonal + (word != other))
    return row[-1]


def effort(draft: str, references: Sequence[str]) -> int:
    """Edits to the nearest of the captions that people wrote for the photo."""
    return min(word_edits(draft, reference) for reference in references)
