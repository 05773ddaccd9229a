from __future__ import annotations

from pathlib import Path

import pytest

from model.vocabulary import END, PAD, SPECIALS, START, UNKNOWN, Vocabulary, VocabularyError, join, tokenise


@pytest.mark.parametrize(
    ("caption", "words"),
    [
        ("A child in a pink dress .", ["a", "child", "in", "a", "pink", "dress"]),
        ("A man 's T-shirt", ["a", "man", "'s", "t-shirt"]),
        ("a man's t-shirt", ["a", "man", "'s", "t-shirt"]),
        ("They don\u2019t look", ["they", "don't", "look"]),
        ("Größe 42!", ["größe", "42"]),
        ('a_b -- "c"', ["a", "b", "c"]),
        (" . , ! ", []),
        ("", []),
    ],
)
def test_words_of_a_caption(caption: str, words: list[str]) -> None:
    assert tokenise(caption) == words


def test_joined_words_read_as_english_and_tokenise_back() -> None:
    words = ["a", "man", "'s", "t-shirt"]
    assert join(words) == "a man's t-shirt"
    assert tokenise(join(words)) == words


def test_words_are_ordered_by_count_then_alphabet() -> None:
    vocabulary = Vocabulary.build(["b b a", "a c", "a b d"], minimum=2)
    assert vocabulary.words == (*SPECIALS, "a", "b")


def test_encode_and_decode() -> None:
    vocabulary = Vocabulary.build(["a dog runs"], minimum=1)
    indices = vocabulary.encode("A dog flies")
    assert indices == [vocabulary.index["a"], vocabulary.index["dog"], UNKNOWN]
    assert vocabulary.decode([START, *indices[:2], END, PAD, 5]) == ["a", "dog"]


def test_it_survives_its_file(tmp_path: Path) -> None:
    vocabulary = Vocabulary.build(["ein größerer Hund"], minimum=1)
    vocabulary.save(tmp_path / "vocabulary.json")
    assert Vocabulary.load(tmp_path / "vocabulary.json").words == vocabulary.words


@pytest.mark.parametrize(
    ("content", "says"),
    [("{", "not a readable"), ('{"a": 1}', "no list of words"), ('["a"]', "begins with"), ("[1]", "no list of words")],
)
def test_a_broken_file_is_refused(tmp_path: Path, content: str, says: str) -> None:
    (tmp_path / "vocabulary.json").write_text(content)
    with pytest.raises(VocabularyError, match=says):
        Vocabulary.load(tmp_path / "vocabulary.json")


def test_a_word_twice_is_refused() -> None:
    with pytest.raises(VocabularyError, match="found twice: \\['dog'\\]"):
        Vocabulary((*SPECIALS, "dog", "dog"))


def test_captions_without_a_frequent_word_are_refused() -> None:
    with pytest.raises(VocabularyError, match="no word occurs 5 times"):
        Vocabulary.build(["a dog"], minimum=5)
