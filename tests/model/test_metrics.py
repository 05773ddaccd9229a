from __future__ import annotations

import math
import random
from collections import Counter
from fractions import Fraction

import numpy as np
import pytest
from nltk.translate.bleu_score import corpus_bleu

from model.cider import cider_d_each
from model.datasets import load_dataset
from model.metrics import bleu4, bleu_statistics, bootstrap, cider_d, score, words
from model.rouge import rouge_l_each
from tests.shared import FLICKR8K, needs_flickr8k


def corpus(seed: int, count: int = 60) -> tuple[list[list[str]], list[list[list[str]]]]:
    """References of a handful of words, and hypotheses made from one of them with a few words changed."""
    chance = random.Random(seed)
    vocabulary = [f"w{n}" for n in range(30)]

    def sentence() -> list[str]:
        return chance.choices(vocabulary, k=chance.randint(4, 14))

    references = [[sentence() for _ in range(5)] for _ in range(count)]
    hypotheses = []
    for group in references:
        changed = [chance.choice(vocabulary) if chance.random() < 0.2 else word for word in chance.choice(group)]
        hypotheses.append(changed[: chance.randint(3, 14)])
    return hypotheses, references


@pytest.mark.parametrize("seed", range(5))
def test_our_statistics_give_nltks_corpus_bleu(seed: int) -> None:
    hypotheses, references = corpus(seed)
    ours = float(bleu4(bleu_statistics(hypotheses, references).sum(0)))
    assert ours == pytest.approx(corpus_bleu(references, hypotheses), abs=1e-9) and ours > 0.1


def papineni(hypotheses: list[list[str]], references: list[list[list[str]]]) -> list[float]:
    """BLEU-1..4 x100 as the paper of 2002 defines it, with exact fractions and nothing of ours or nltk's."""

    def counts(sentence: list[str], size: int) -> Counter[str]:
        return Counter("\t".join(sentence[at : at + size]) for at in range(len(sentence) - size + 1))

    precisions = []
    for size in (1, 2, 3, 4):
        clipped = spoken = 0
        for hypothesis, group in zip(hypotheses, references, strict=True):
            theirs = [counts(reference, size) for reference in group]
            for gram, count in counts(hypothesis, size).items():
                clipped += min(count, max(one[gram] for one in theirs))
                spoken += count
        precisions.append(Fraction(clipped, spoken))
    length = sum(map(len, hypotheses))
    nearest = 0
    for hypothesis, group in zip(hypotheses, references, strict=True):
        nearest += min((abs(len(reference) - len(hypothesis)), len(reference)) for reference in group)[1]
    penalty = min(1.0, math.exp(1 - nearest / length))
    return [100 * penalty * math.prod(map(float, precisions[:n])) ** (1 / n) for n in (1, 2, 3, 4)]


@pytest.mark.parametrize("seed", range(3))
def test_every_order_is_that_of_an_independent_implementation(seed: int) -> None:
    hypotheses, references = corpus(seed)
    hypotheses = [h if len(h) > 3 else h * 2 for h in hypotheses]  # nltk counts one n-gram where none fits
    captions, groups = [" ".join(h) for h in hypotheses], [[" ".join(r) for r in group] for group in references]
    assert score(captions, groups, resamples=0).bleu == pytest.approx(papineni(hypotheses, references), abs=1e-6)


@needs_flickr8k
def test_people_scored_against_people_are_that_too() -> None:
    """One caption against the other four, on the real dev split: the published human level is near 21."""
    examples = load_dataset(f"flickr8k:{FLICKR8K}", "dev").examples
    long = [example for example in examples if len(words(example.captions[0])) > 3]
    scores = score([e.captions[0] for e in long], [e.captions[1:] for e in long], resamples=0)
    hypotheses = [words(example.captions[0]) for example in long]
    references = [[words(reference) for reference in example.captions[1:]] for example in long]
    assert scores.bleu == pytest.approx(papineni(hypotheses, references), abs=1e-6)
    assert 19 < scores.bleu4 < 23


def test_rouge_by_hand() -> None:
    """4 of 5 words in order, against references of 4 and of 8 words: F1 of 4/5 and 4/4, the better one."""
    references = [[["a", "dog", "runs", "fast"], ["a", "dog", "runs", "fast", "on", "the", "green", "grass"]]]
    assert rouge_l_each([["a", "big", "dog", "runs", "fast"]], references) == pytest.approx([2 * 0.8 / 1.8])
    scores = score(["A big dog runs fast."], [[" ".join(r) for r in references[0]]], resamples=0)
    assert scores.rouge_l == pytest.approx(100 * 2 * 0.8 / 1.8)


def test_rouge_keeps_letters_of_every_language() -> None:
    assert rouge_l_each([["un", "garçon", "éveillé"]], [[["garçon", "éveillé"]]]) == pytest.approx([0.8])
    assert rouge_l_each([[]], [[["garçon"]]]) == [0.0]


def test_the_splits_cider_is_the_mean_of_its_images() -> None:
    hypotheses, references = corpus(4)
    each = cider_d_each(hypotheses, references)
    assert cider_d(hypotheses, references) == pytest.approx(sum(each) / 60) and max(each) > min(each)


def test_figures_are_nltks_times_100() -> None:
    hypotheses, references = corpus(1)
    captions, groups = [" ".join(h) for h in hypotheses], [[" ".join(r) for r in group] for group in references]
    scores = score(captions, groups, resamples=200)
    for order, value in enumerate(scores.bleu, 1):
        assert value == pytest.approx(100 * corpus_bleu(references, hypotheses, weights=[1 / order] * order))
    low, high = scores.confidence["bleu4"]
    assert low < scores.bleu4 < high


def test_case_and_punctuation_do_not_count() -> None:
    assert words('A man\'s T-shirt , "red" .') == ["a", "man", "s", "tshirt", "red"]
    scores = score(["A man's dog runs!"] * 2, [["a man 's dog runs ."]] * 2)
    assert scores.bleu == (100.0, 100.0, 100.0, 100.0) and scores.brevity_penalty == 1.0


def test_a_short_caption_pays_the_brevity_penalty() -> None:
    scores = score(["a dog runs fast"], [["a dog runs fast through the grass now"]])
    assert scores.brevity_penalty == pytest.approx(np.exp(1 - 8 / 4))


def test_empty_captions_score_nothing() -> None:
    scores = score(["", ""], [["a dog runs on grass"]] * 2)
    assert scores.bleu == (0.0, 0.0, 0.0, 0.0) and scores.cider == 0.0


def test_no_match_at_all_is_a_plain_zero() -> None:
    scores = score(["x y z"], [["a dog runs on grass"]])
    assert scores.bleu == pytest.approx((0.0, 0.0, 0.0, 0.0), abs=1e-6)


def test_one_caption_an_image_is_needed() -> None:
    with pytest.raises(ValueError, match="1 captions for 2 images"):
        score(["a"], [["a"], ["b"]])


def test_cider_of_the_references_themselves_is_ten() -> None:
    references = [[["a", "red", "dog", "runs", str(n)]] for n in range(5)]
    assert cider_d([group[0] for group in references], references) == pytest.approx(10.0)


def test_cider_by_hand() -> None:
    """Two images; 'dog' and 'cat' occur in one of two documents (weight ln 2), 'a' in both (weight 0)."""
    references = [[["a", "dog"]], [["a", "cat"]]]
    # Orders 1 and 2 match whole, orders 3 and 4 have no n-grams: (1 + 1 + 0 + 0) / 4, x10; the second shares nothing.
    assert cider_d([["a", "dog"], ["b", "b"]], references) == pytest.approx(10 * (2 / 4) / 2)


def test_cider_takes_length_to_account() -> None:
    references = [[["a", "dog", "runs"]], [["a", "cat", "sits"]]]
    exact = cider_d([["a", "dog", "runs"], ["x"]], references)
    longer = cider_d([["a", "dog", "runs", "dog", "runs", "dog", "runs"], ["x"]], references)
    assert longer < exact


def test_the_interval_covers_resampled_figures() -> None:
    statistics = bleu_statistics(*corpus(3, count=300))
    low, high = bootstrap(statistics, 500)["bleu4"]
    draws = np.random.default_rng(0).integers(0, 300, (200, 300))
    figures = np.array([100 * bleu4(statistics[rows].sum(0)) for rows in draws])
    assert 0.88 < float(((figures > low) & (figures < high)).mean()) <= 1.0
