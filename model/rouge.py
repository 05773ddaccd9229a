"""ROUGE-L (Lin, 2004): the longest common subsequence of words as an F1, by Google's rouge-score."""

from __future__ import annotations

from collections.abc import Sequence

from rouge_score.rouge_scorer import RougeScorer


class _Split:
    """Our words are tokenised already: rouge-score's own tokeniser would drop every letter beyond ASCII."""

    def tokenize(self, text: str) -> list[str]:
        return text.split()


def rouge_l_each(hypotheses: Sequence[Sequence[str]], references: Sequence[Sequence[Sequence[str]]]) -> list[float]:
    """One figure an image, in [0, 1]: that of the reference that the words fit best."""
    scorer = RougeScorer(["rougeL"], tokenizer=_Split())
    return [
        float(scorer.score_multi([" ".join(one) for one in group], " ".join(hypothesis))["rougeL"].fmeasure)
        for hypothesis, group in zip(hypotheses, references, strict=True)
    ]
