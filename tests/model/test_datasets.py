from __future__ import annotations

import json
from pathlib import Path

import pytest

from model.datasets import DatasetError, load_dataset, summary
from tests.photos import drawn, encoded, flickr8k_folder
from tests.shared import COCO2017, FLICKR8K, needs_coco2017, needs_flickr8k


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return flickr8k_folder(tmp_path / "flickr8k", train=4, dev=2)


def test_one_item_is_one_image_with_all_its_captions(folder: Path) -> None:
    train = load_dataset(f"flickr8k:{folder}", "train")
    assert [example.name for example in train.examples] == [f"train{n}.jpg" for n in range(4)]
    assert train.examples[0].captions[0] == "A red square at the left ."
    assert train.examples[0].path.is_file() and train.problems.lines() == []


def test_the_csv_of_captions_and_the_published_folder_name_are_read_too(folder: Path) -> None:
    before = load_dataset(f"flickr8k:{folder}", "train")
    rows = [f'{e.name},"{caption}"' for e in before.examples for caption in e.captions]
    (folder / "captions.txt").write_text("image,caption\n" + "\n".join(rows))
    (folder / "Flickr8k.token.txt").unlink()
    (folder / "images").rename(folder / "Flicker8k_Dataset")
    after = load_dataset(f"flickr8k:{folder}", "train")
    assert [e.captions for e in after.examples] == [e.captions for e in before.examples]
    assert after.examples[0].path.is_file()


def test_what_is_missing_is_counted_and_named(folder: Path) -> None:
    (folder / "images" / "train1.jpg").unlink()
    tokens = folder / "Flickr8k.token.txt"
    kept = [line for line in tokens.read_text().splitlines() if not line.startswith("train2.jpg#")]
    tokens.write_text("\n".join([*kept, "train0.jpg#9\t . !"]))
    train = load_dataset(f"flickr8k:{folder}", "train")
    assert [e.name for e in train.examples] == ["train0.jpg", "train3.jpg"]
    assert train.problems.lines() == [
        "left out: 1 images listed but not in the folder: train1.jpg",
        "left out: 1 captions without a word: train0.jpg: ' . !'",
        "left out: 1 images without a caption: train2.jpg",
    ]
    assert summary(train)["left_out"] == {"missing": 1, "wordless": 1, "uncaptioned": 1}


@pytest.mark.parametrize(
    ("spec", "split", "says"),
    [
        ("flickr30k:x", "train", "expected flickr8k:FOLDER or coco2017:FOLDER"),
        ("flickr8k", "train", "expected flickr8k:FOLDER"),
        ("flickr8k:/nowhere/at/all", "train", "no folder at /nowhere/at/all"),
        ("flickr8k:{folder}", "val", "splits train, dev and test, not 'val'"),
        ("flickr8k:{folder}", "test", r"no file at .*Flickr_8k\.testImages\.txt"),
        ("coco2017:{folder}", "test", "splits train and val"),
        ("coco2017:{folder}", "train", r"no file at .*captions_train2017\.json"),
    ],
)
def test_what_cannot_be_read_is_refused_by_name(folder: Path, spec: str, split: str, says: str) -> None:
    with pytest.raises(DatasetError, match=says):
        load_dataset(spec.format(folder=folder), split)


@pytest.mark.parametrize("line", ["no tab here", "train0.jpg\tno number"])
def test_a_torn_caption_file_is_refused_by_line(folder: Path, line: str) -> None:
    (folder / "Flickr8k.token.txt").write_text(f"train0.jpg#0\tA dog\n{line}\n")
    with pytest.raises(DatasetError, match=r"token\.txt:2: expected IMAGE#NUMBER<tab>CAPTION"):
        load_dataset(f"flickr8k:{folder}", "train")


def test_a_folder_without_any_of_its_images_is_refused(folder: Path) -> None:
    for path in (folder / "images").iterdir():
        path.unlink()
    with pytest.raises(DatasetError, match=r"none of its 4 images can be used\. left out: 4 images listed but not"):
        load_dataset(f"flickr8k:{folder}", "train")


def coco_folder(folder: Path) -> Path:
    (folder / "train2017").mkdir(parents=True)
    (folder / "annotations").mkdir()
    (folder / "train2017" / "000000000009.jpg").write_bytes(encoded(drawn("red", "left"), "JPEG"))
    content = {
        "images": [{"id": 9, "file_name": "000000000009.jpg"}, {"id": 25, "file_name": "000000000025.jpg"}],
        "annotations": [{"image_id": 9, "caption": "A red square."}, {"image_id": 9, "caption": "Red, left"}],
    }
    (folder / "annotations" / "captions_train2017.json").write_text(json.dumps(content))
    return folder


def test_coco_in_its_published_layout(tmp_path: Path) -> None:
    train = load_dataset(f"coco2017:{coco_folder(tmp_path / 'coco')}", "train")
    assert [(e.name, e.captions) for e in train.examples] == [("000000000009.jpg", ("A red square.", "Red, left"))]
    assert train.problems.missing == ["000000000025.jpg"]


@pytest.mark.parametrize("content", ["{", "[]", '{"images": [], "annotations": [{"image_id": 1, "caption": "x"}]}'])
def test_another_json_is_refused(tmp_path: Path, content: str) -> None:
    folder = coco_folder(tmp_path / "coco")
    (folder / "annotations" / "captions_train2017.json").write_text(content)
    with pytest.raises(DatasetError, match="not COCO's captions format"):
        load_dataset(f"coco2017:{folder}", "train")


@needs_flickr8k
@pytest.mark.parametrize(("split", "images"), [("train", 6000), ("dev", 1000)])
def test_the_real_flickr8k(split: str, images: int) -> None:
    data = load_dataset(f"flickr8k:{FLICKR8K}", split)
    assert len(data.examples) == images
    assert sum(len(e.captions) for e in data.examples) + len(data.problems.wordless) == images * 5


@needs_flickr8k
def test_no_image_is_in_two_splits() -> None:
    train, dev = (load_dataset(f"flickr8k:{FLICKR8K}", split) for split in ("train", "dev"))
    assert not {e.name for e in train.examples} & {e.name for e in dev.examples}


@needs_coco2017
@pytest.mark.parametrize(("split", "images"), [("train", 80), ("val", 60), ("dev", 60)])
def test_the_real_coco_slice(split: str, images: int) -> None:
    data = load_dataset(f"coco2017:{COCO2017}", split)
    assert len(data.examples) == images and all(len(e.captions) >= 5 for e in data.examples)
