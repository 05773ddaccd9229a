"""How cheap a label config makes it to correct a drafted caption, and the same config made cheaper.

What each setting does was observed in Label Studio 1.23.2 in a browser: `editable` with `transcription` opens the
draft as a focused text field; with more than one row, Enter goes into the caption; without maxSubmissions="1" a second,
empty box invites a second caption; a TextArea below a tall picture is off the screen.
"""

import xml.etree.ElementTree as ET

from labeling.markup import CaptionTags, attribute, attribute_key, caption_tags, is_true, parse

RECOMMENDED_CONFIG = """\
<View>
  <Header value="Describe the image:"/>
  <TextArea name="caption" toName="image" rows="1" maxSubmissions="1"
            editable="true" transcription="true" placeholder="Enter description here..."/>
  <Image name="image" value="$captioning"/>
</View>
"""


def advice(label_config: str, *, prefer: str | None = None) -> list[str]:
    """What makes a draft costly to correct here, one sentence each; empty when nothing does.

    `prefer` names the TextArea meant, as in `caption_field`. Raises LabelConfigError for a config that cannot be
    captioned at all.
    """
    tags = caption_tags(parse(label_config), prefer=prefer)
    area, name = tags.text_area, attribute(tags.text_area, "name")
    found: list[str] = []
    if not (is_true(area, "editable") and is_true(area, "transcription")):
        found.append(
            f"TextArea {name!r} shows a draft that can only be deleted and retyped: "
            'set editable="true" and transcription="true".'
        )
    if _many_rows(area):
        rows = attribute(area, "rows")
        found.append(f'TextArea {name!r} has rows="{rows}": Enter puts a line break into the caption. Set rows="1".')
    if attribute(area, "maxSubmissions") != "1":
        found.append(f'TextArea {name!r} shows a second, empty box beside the draft: set maxSubmissions="1".')
    if _below(tags):
        found.append(f"TextArea {name!r} stands below its Image, off the screen for a tall picture: put it above.")
    return found


def improved(label_config: str, *, prefer: str | None = None) -> str | None:
    """The same config with its caption TextArea made cheap to correct; None when it already is.

    Everything else stays as written, comments included. Raises LabelConfigError like `advice`.
    """
    if not advice(label_config, prefer=prefer):
        return None
    root = parse(label_config)
    tags = caption_tags(root, prefer=prefer)
    for name, value in (("rows", "1"), ("maxSubmissions", "1"), ("editable", "true"), ("transcription", "true")):
        tags.text_area.set(attribute_key(tags.text_area, name), value)
    if _below(tags):
        _move_after(tags.parents[tags.image], tags.image, tags.text_area)
    return ET.tostring(root, encoding="unicode") + "\n"


def _many_rows(area: ET.Element) -> bool:
    rows = attribute(area, "rows")
    return bool(rows) and rows != "1"


def _below(tags: CaptionTags) -> bool:
    """Whether the TextArea follows its Image in one column, at the picture's full height."""
    column = tags.parents.get(tags.image)
    if column is None or tags.parents.get(tags.text_area) is not column:
        return False
    order = list(column)
    side_by_side = "flex" in attribute(column, "style") or "grid" in attribute(column, "style")
    limited = bool(attribute(tags.image, "maxWidth") or attribute(tags.image, "width"))
    return order.index(tags.text_area) > order.index(tags.image) and not (side_by_side or limited)


def _move_after(parent: ET.Element, moved: ET.Element, other: ET.Element) -> None:
    # The text between two tags is the tail of the first: the tails stay where they are, so the indentation does too.
    tails = [child.tail for child in parent]
    parent.remove(moved)
    parent.insert(list(parent).index(other) + 1, moved)
    for child, tail in zip(parent, tails, strict=True):
        child.tail = tail
