"""A label config as a tree: parsed safely, and searched for the TextArea that describes an Image.

Label Studio reads tag and attribute names without regard to case, so everything here does too.
"""

import xml.etree.ElementTree as ET
from collections.abc import Iterator
from dataclasses import dataclass

from defusedxml import DefusedXmlException
from defusedxml.ElementTree import DefusedXMLParser

SERVED = (
    "Served is a TextArea that describes an Image: "
    '<TextArea name="caption" toName="image"/> with <Image name="image" value="$image"/>.'
)

# Tags that only lay the page out: naming them would not help anyone to see what is wrong.
_LAYOUT = frozenset({"view", "style", "header", "collapse", "panel", "filter", "choice", "label", "shortcut"})


class LabelConfigError(ValueError):
    """This label config cannot be captioned. The message says what was found and what can be served."""


@dataclass(frozen=True)
class CaptionTags:
    """The two elements a caption needs, and what encloses them."""

    text_area: ET.Element
    image: ET.Element
    parents: dict[ET.Element, ET.Element]

    def ancestors(self, element: ET.Element) -> Iterator[ET.Element]:
        """The tags around `element`, from the nearest to the outermost."""
        while (parent := self.parents.get(element)) is not None:
            yield parent
            element = parent


def parse(label_config: str) -> ET.Element:
    """The root element, comments kept. Raises LabelConfigError for anything but well-formed XML without a DTD."""
    if not label_config.strip():
        raise LabelConfigError(f"The label config is empty. {SERVED}")
    builder = ET.TreeBuilder(insert_comments=True)
    parser = DefusedXMLParser(target=builder, forbid_dtd=True)
    try:
        parser.feed(label_config.strip())
        root = parser.close()
    except ET.ParseError as error:
        line, column = error.position
        place = f"{_reason(error)} at line {line}, column {column + 1}"
        raise LabelConfigError(f"The label config is not XML: {place}. {SERVED}") from None
    except DefusedXmlException:
        raise LabelConfigError(f"The label config holds a DOCTYPE or ENTITY, which is refused. {SERVED}") from None
    assert isinstance(root, ET.Element)
    return root


def caption_tags(root: ET.Element, *, prefer: str | None = None) -> CaptionTags:
    """The TextArea to fill and the Image it describes.

    Of several, the one named `prefer`; else the first whose name starts with "caption"; else the first. TextAreas that
    belong to a region, or are hidden until something is chosen, are no captions of the picture and are passed over.
    """
    images = {attribute(tag, "name"): tag for tag in elements(root) if kind(tag) == "image"}
    pairs = [
        (tag, images[target])
        for tag in elements(root)
        if kind(tag) == "textarea" and not _conditional(tag)
        for target in targets(tag)
        if target in images
    ]
    if not pairs:
        raise LabelConfigError(_nothing_to_fill(root))
    text_area, image = min(pairs, key=lambda pair: _rank(attribute(pair[0], "name"), prefer))
    return CaptionTags(text_area, image, {child: parent for parent in elements(root) for child in parent})


def elements(root: ET.Element) -> Iterator[ET.Element]:
    """Every element in document order; comments are not elements."""
    return (tag for tag in root.iter() if isinstance(tag.tag, str))


def kind(tag: ET.Element) -> str:
    """The tag's name in lower case: "image", "textarea"."""
    return tag.tag.lower()


def attribute(tag: ET.Element, name: str) -> str:
    """The attribute's value, stripped; "" when it is not there."""
    return tag.get(attribute_key(tag, name), "").strip()


def attribute_key(tag: ET.Element, name: str) -> str:
    """The attribute's name as this tag spells it, or as given when the tag lacks it."""
    return next((key for key in tag.attrib if key.lower() == name.lower()), name)


def is_true(tag: ET.Element, name: str) -> bool:
    """Whether the attribute says "true"."""
    return attribute(tag, name).lower() == "true"


def targets(tag: ET.Element) -> list[str]:
    """The names in toName, which may be several: "a,b"."""
    return [name.strip() for name in attribute(tag, "toName").split(",") if name.strip()]


def _conditional(tag: ET.Element) -> bool:
    bound = is_true(tag, "perRegion") or is_true(tag, "perText")
    return bound or bool(attribute(tag, "whenTagName")) or bool(attribute(tag, "visibleWhen"))


def _rank(name: str, prefer: str | None) -> int:
    if prefer and name == prefer:
        return 0
    return 1 if name.lower().startswith("caption") else 2


def _nothing_to_fill(root: ET.Element) -> str:
    kinds = {kind(tag) for tag in elements(root)}
    if "image" not in kinds:
        reason = "It has no Image" + (", and pictures inside HyperText cannot be read" if "hypertext" in kinds else "")
    elif "textarea" not in kinds:
        reason = "It has no TextArea to write a caption into"
    else:
        reason = (
            "None of its TextAreas describes a whole Image (those of regions, or shown on a condition, do not count)"
        )
    return f"This label config cannot be captioned. {reason}. Found: {_found(root)}. {SERVED}"


def _found(root: ET.Element) -> str:
    shown = [_described(tag) for tag in elements(root) if kind(tag) not in _LAYOUT]
    listed = ", ".join(shown[:12]) + (f" and {len(shown) - 12} more" if len(shown) > 12 else "")
    return listed or "no labelling tag at all"


def _described(tag: ET.Element) -> str:
    to = f" for {', '.join(targets(tag))}" if targets(tag) else ""
    condition = next((f" ({key})" for key in ("perRegion", "perText") if is_true(tag, key)), "")
    condition = condition or next((f" ({key})" for key in ("whenTagName", "visibleWhen") if attribute(tag, key)), "")
    name = attribute(tag, "name")
    return f"{tag.tag}{f' {name!r}' if name else ''}{to}{condition}"


def _reason(error: ET.ParseError) -> str:
    return str(error).split(":", 1)[0]
