"""What a label config asks for: which TextArea to fill, for which Image, and where a task names its picture.

    caption_field('<View><Image name="image" value="$photo"/><TextArea name="caption" toName="image"/></View>')
    CaptionField(from_name='caption', to_name='image', value='$photo', many=False)

How to make a drafted caption cheaper to correct is in labeling.draft; it is offered here too.
"""

import xml.etree.ElementTree as ET
from dataclasses import dataclass

from labeling.draft import RECOMMENDED_CONFIG, advice, improved
from labeling.markup import CaptionTags, LabelConfigError, attribute, caption_tags, kind, parse

__all__ = [
    "RECOMMENDED_CONFIG",
    "REPEAT_INDEX",
    "CaptionField",
    "LabelConfigError",
    "advice",
    "caption_field",
    "improved",
]

# How a CaptionField writes the running index of a Repeater, whatever indexFlag the config itself uses.
REPEAT_INDEX = "{{idx}}"


@dataclass(frozen=True)
class CaptionField:
    """The TextArea to fill (`from_name`), its Image (`to_name`), and the Image's value as written in the config.

    `many`: the value is a list of pictures, one caption each. Inside a Repeater the names and the value carry
    REPEAT_INDEX, which `prediction(..., item_index=i)` and `image_uris` replace by the running index.
    """

    from_name: str
    to_name: str
    value: str
    many: bool

    @property
    def repeated(self) -> bool:
        """Whether the tags stand in a Repeater, so that each picture has tags of its own."""
        return REPEAT_INDEX in self.value


def caption_field(label_config: str, *, prefer: str | None = None) -> CaptionField:
    """The field to fill in this label config; `prefer` names the TextArea to take when there are several.

    Raises LabelConfigError, which says what was found and what can be served.
    """
    tags = caption_tags(parse(label_config), prefer=prefer)
    value_list = attribute(tags.image, "valueList")
    field = CaptionField(
        from_name=_named(tags.text_area),
        to_name=_named(tags.image),
        value=value_list or attribute(tags.image, "value"),
        many=bool(value_list),
    )
    if not field.value:
        raise LabelConfigError(
            f"Image {field.to_name!r} has no value: nothing says where a task names its picture. "
            f'Write value="$image", with the name of your data column for "image".'
        )
    return _unrolled(field, tags)


def _named(tag: ET.Element) -> str:
    name = attribute(tag, "name")
    if not name:
        raise LabelConfigError(f'A {tag.tag} has no name, so no caption can refer to it. Write <{tag.tag} name="…"/>.')
    return name


def _unrolled(field: CaptionField, tags: CaptionTags) -> CaptionField:
    repeaters = {
        tag: None
        for element in (tags.text_area, tags.image)
        for tag in tags.ancestors(element)
        if kind(tag) == "repeater"
    }
    if not repeaters:
        return field
    flag = attribute(next(iter(repeaters)), "indexFlag") or REPEAT_INDEX
    from_name, to_name, value = (
        part.replace(flag, REPEAT_INDEX) for part in (field.from_name, field.to_name, field.value)
    )
    indexed = REPEAT_INDEX in from_name and REPEAT_INDEX in to_name and f"[{REPEAT_INDEX}]" in value
    if len(repeaters) > 1 or field.many or not indexed:
        raise LabelConfigError(
            f"The Repeater around TextArea {field.from_name!r} and Image {field.to_name!r} cannot be followed. "
            f"Served is one Repeater around both, its index {flag} in both names and in the Image's value: "
            f'<Image name="image_{flag}" value="$images[{flag}].url"/>.'
        )
    return CaptionField(from_name, to_name, value, many=True)
