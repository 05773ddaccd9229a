from __future__ import annotations

from pathlib import Path

import pytest

from model.engines.entries import Entries

FILES = {"a.onnx": b"weights", "b.onnx": b"more weights"}


def test_what_is_added_is_found_whole(tmp_path: Path) -> None:
    entries = Entries(tmp_path / "engines", "int8-1")
    name = entries.name("encoder", "0123456789abcdef" * 4)
    assert name == "encoder-0123456789abcdef-int8-1"
    assert entries.find(name) is None
    path = entries.add(name, FILES, {"verdict": 7})
    found = entries.find(name)
    assert found is not None and found[0] == path and found[1]["verdict"] == 7
    assert {file.name: file.read_bytes() for file in path.glob("*.onnx")} == FILES


def test_another_converter_and_another_file_have_entries_of_their_own(tmp_path: Path) -> None:
    old, new = Entries(tmp_path, "int8-1"), Entries(tmp_path, "int8-2")
    assert len({old.name("decoder", "a", "b"), new.name("decoder", "a", "b"), old.name("decoder", "a", "c")}) == 3


@pytest.mark.parametrize("damage", ["torn", "gone", "unreadable", "unlike"])
def test_a_damaged_entry_is_thrown_away(tmp_path: Path, damage: str) -> None:
    entries = Entries(tmp_path, "int8-1")
    path = entries.add("one", FILES, {})
    match damage:
        case "torn":
            (path / "a.onnx").write_bytes(b"weigh")
        case "gone":
            (path / "b.onnx").unlink()
        case "unreadable":
            (path / "about.json").write_text("{")
        case "unlike":
            (path / "about.json").write_text('{"files": ["a.onnx"]}')
    assert entries.find("one") is None and not path.exists()
    assert entries.add("one", FILES, {}) == path and entries.find("one") is not None


def test_who_comes_second_leaves_the_first_ones_entry(tmp_path: Path) -> None:
    first, second = Entries(tmp_path, "int8-1"), Entries(tmp_path, "int8-1")
    path = first.add("one", FILES, {"by": 1})
    assert second.add("one", {"a.onnx": b"other"}, {"by": 2}) == path
    found = first.find("one")
    assert found is not None and found[1]["by"] == 1
    assert [one.name for one in tmp_path.iterdir() if not one.name.startswith(".lock")] == ["one"]
