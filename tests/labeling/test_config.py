import json
from pathlib import Path

import pytest

from labeling.config import CaptionField, LabelConfigError, caption_field
from tests.labeling.configs import CAPTION, IMAGE, OFFICIAL, REPEATER, TWO_LANGUAGES, view

RECORDED = json.loads((Path(__file__).parent / "payloads" / "predict.json").read_text())


def test_the_official_template_as_label_studio_sends_it() -> None:
    assert caption_field(RECORDED["label_config"]) == CaptionField("caption", "image", "$captioning", many=False)
    assert caption_field(OFFICIAL) == caption_field(RECORDED["label_config"])


SERVED = {
    "a TextArea for a region before the caption": (
        view(IMAGE, '<TextArea name="ocr" toName="image" perRegion="true"/>', CAPTION),
        CaptionField("caption", "image", "$photo", False),
    ),
    "a TextArea shown on a condition before the caption": (
        view(IMAGE, '<TextArea name="why" toName="image" whenTagName="c"/>', CAPTION),
        CaptionField("caption", "image", "$photo", False),
    ),
    "a TextArea shown with a region before the caption": (
        view(IMAGE, '<TextArea name="why" toName="image" visibleWhen="region-selected"/>', CAPTION),
        CaptionField("caption", "image", "$photo", False),
    ),
    "perRegion said to be false": (
        view(IMAGE, '<TextArea name="caption" toName="image" perRegion="false"/>'),
        CaptionField("caption", "image", "$photo", False),
    ),
    "a TextArea for a Text and one for the Image": (
        view('<Text name="text" value="$text"/>', IMAGE, '<TextArea name="a" toName="text"/>', CAPTION),
        CaptionField("caption", "image", "$photo", False),
    ),
    "several pictures by valueList": (
        view('<Image name="image" valueList="$images"/>', CAPTION),
        CaptionField("caption", "image", "$images", True),
    ),
    "two targets": (
        view(IMAGE, '<Image name="b" value="$b"/>', '<TextArea name="caption" toName="b, image"/>'),
        CaptionField("caption", "b", "$b", False),
    ),
    "two targets, the first of them no Image": (
        view('<Text name="t" value="$t"/>', IMAGE, '<TextArea name="caption" toName="t,image"/>'),
        CaptionField("caption", "image", "$photo", False),
    ),
    "a dotted path": (
        view('<Image name="image" value="$meta.url"/>', CAPTION),
        CaptionField("caption", "image", "$meta.url", False),
    ),
    "a template": (
        view('<Image name="image" value="http://x/$id"/>', CAPTION),
        CaptionField("caption", "image", "http://x/$id", False),
    ),
    "a Repeater": (REPEATER, CaptionField("cap_{{idx}}", "page_{{idx}}", "$images[{{idx}}].url", True)),
    "a Repeater with a flag of its own": (
        REPEATER.replace("{{idx}}", "##"),
        CaptionField("cap_{{idx}}", "page_{{idx}}", "$images[{{idx}}].url", True),
    ),
    "names in another case": (
        '<view><image Name="i" VALUE="$p"/><textarea name="t" toname="i"/></view>',
        CaptionField("t", "i", "$p", False),
    ),
    "nested, with a comment, a style and a declaration": (
        '<?xml version="1.0" encoding="utf-8"?>\n<!-- ours --><View><Style>.a { color: red }</Style>'
        f"<View><!-- x -->{IMAGE}</View><View>{CAPTION}</View></View>",
        CaptionField("caption", "image", "$photo", False),
    ),
}


@pytest.mark.parametrize("name", SERVED)
def test_served(name: str) -> None:
    label_config, expected = SERVED[name]
    assert caption_field(label_config) == expected


@pytest.mark.parametrize(
    ("prefer", "expected"),
    [(None, "caption_en"), ("caption_de", "caption_de"), ("notes", "notes"), ("elsewhere", "caption_en")],
)
def test_of_several_text_areas_the_named_one_then_one_called_caption_then_the_first(
    prefer: str | None, expected: str
) -> None:
    assert caption_field(TWO_LANGUAGES, prefer=prefer).from_name == expected


def test_without_a_name_to_go_by_the_first_text_area_is_taken() -> None:
    config = view(IMAGE, '<TextArea name="b" toName="image"/>', '<TextArea name="a" toName="image"/>')
    assert caption_field(config).from_name == "b"


REFUSED = {
    "empty": ("", ["empty", "<TextArea"]),
    "blank": (" \n", ["empty"]),
    "broken": ("<View>\n  <Image></View>", ["not XML", "line 2", "mismatched tag"]),
    "no XML at all": ("hello", ["not XML", "line 1"]),
    "two roots": ("<View/><View/>", ["not XML"]),
    "Image and Choices": (
        view(IMAGE, '<Choices name="c" toName="image"><Choice value="x"/></Choices>'),
        ["no TextArea", "Image 'image'", "Choices 'c' for image"],
    ),
    "no Image": (view('<Text name="t" value="$t"/>', '<TextArea name="a" toName="t"/>'), ["no Image", "Text 't'"]),
    "HyperText": (
        view('<HyperText name="h" value="$h"/>', '<TextArea name="a" toName="h"/>'),
        ["HyperText cannot be read", "HyperText 'h'"],
    ),
    "nothing but layout": (view('<Header value="hi"/>'), ["no labelling tag at all"]),
    "only a TextArea for regions": (
        view(IMAGE, '<TextArea name="ocr" toName="image" perRegion="true"/>'),
        ["None of its TextAreas", "TextArea 'ocr' for image (perRegion)"],
    ),
    "a target that is not there": (view(IMAGE, '<TextArea name="a" toName="imaeg"/>'), ["'a' for imaeg"]),
    "an Image without a value": (view('<Image name="image"/>', CAPTION), ["'image' has no value"]),
    "a TextArea without a name": (view(IMAGE, '<TextArea toName="image"/>'), ["TextArea has no name"]),
    "a Repeater without an index in the value": (
        REPEATER.replace("$images[{{idx}}].url", "$image"),
        ["Repeater", "'cap_{{idx}}'", "cannot be followed"],
    ),
    "a Repeater in a Repeater": (
        view(f'<Repeater on="$all">{REPEATER}</Repeater>'),
        ["Repeater", "one Repeater around both"],
    ),
}


@pytest.mark.parametrize("name", REFUSED)
def test_refused_with_what_was_found(name: str) -> None:
    label_config, expected = REFUSED[name]
    with pytest.raises(LabelConfigError) as caught:
        caption_field(label_config)
    for part in expected:
        assert part in str(caught.value)


ATTACKS = {
    "entities that grow": '<!DOCTYPE v [<!ENTITY a "aaaa"><!ENTITY b "&a;&a;&a;">]><View>&b;</View>',
    "an entity that reads a file": '<!DOCTYPE v [<!ENTITY a SYSTEM "file:///etc/passwd">]><View>&a;</View>',
    "a DTD from elsewhere": '<!DOCTYPE v SYSTEM "http://127.0.0.1:9/x.dtd"><View/>',
}


@pytest.mark.parametrize("name", ATTACKS)
def test_xml_attacks_are_refused(name: str) -> None:
    with pytest.raises(LabelConfigError, match="DOCTYPE or ENTITY, which is refused"):
        caption_field(ATTACKS[name])


def test_a_deeply_nested_config_is_read() -> None:
    assert caption_field("<View>" * 5000 + IMAGE + CAPTION + "</View>" * 5000).from_name == "caption"
