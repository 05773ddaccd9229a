"""Whether a better label config would orphan annotations made with the present one."""

from __future__ import annotations

import pytest

from backend.reshape import orphaned_controls
from labeling.config import improved

OFFICIAL = """<View>
  <Image name="image" value="$captioning"/>
  <Header value="Describe the image:"/>
  <TextArea name="caption" toName="image" placeholder="Enter description here..." rows="5" maxSubmissions="1"/>
</View>"""


def test_the_better_config_orphans_nothing() -> None:
    better = improved(OFFICIAL)
    assert better is not None
    assert orphaned_controls(OFFICIAL, better) == []


@pytest.mark.parametrize(
    "change",
    [
        ('name="caption"', 'name="text"'),
        ('toName="image"', 'toName="picture"'),
        ("TextArea", "Choices"),
    ],
)
def test_another_name_target_or_kind_orphans_the_old_annotations(change: tuple[str, str]) -> None:
    assert orphaned_controls(OFFICIAL, OFFICIAL.replace(*change)) == ["caption"]


def test_a_control_more_orphans_nothing() -> None:
    more = OFFICIAL.replace("</View>", '<Choices name="kind" toName="image"><Choice value="a"/></Choices></View>')
    assert orphaned_controls(OFFICIAL, more) == []
    assert orphaned_controls(more, OFFICIAL) == ["kind"]
