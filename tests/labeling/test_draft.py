import xml.etree.ElementTree as ET

import pytest

from labeling.config import RECOMMENDED_CONFIG, LabelConfigError, advice, caption_field, improved
from tests.labeling.configs import CAPTION, IMAGE, OFFICIAL, REPEATER, TWO_LANGUAGES, view

GOOD = '<TextArea name="caption" toName="image" rows="1" maxSubmissions="1" editable="true" transcription="true"/>'


def test_there_is_nothing_to_say_about_the_recommended_config() -> None:
    assert advice(RECOMMENDED_CONFIG) == []
    assert improved(RECOMMENDED_CONFIG) is None
    assert caption_field(RECOMMENDED_CONFIG) == caption_field(OFFICIAL)


def test_the_official_template_becomes_the_recommended_one() -> None:
    better = improved(OFFICIAL)
    assert better is not None
    assert [(tag.tag, tag.attrib) for tag in ET.fromstring(better)] == [
        (tag.tag, tag.attrib) for tag in ET.fromstring(RECOMMENDED_CONFIG)
    ]


def test_what_is_wrong_with_the_official_template() -> None:
    retyped, rows, below = advice(OFFICIAL)
    assert 'editable="true"' in retyped and 'transcription="true"' in retyped
    assert 'rows="5"' in rows
    assert "below its Image" in below


@pytest.mark.parametrize(
    ("text_area", "expected"),
    [
        (GOOD, None),
        (GOOD.replace(' rows="1"', ""), None),
        (GOOD.replace(' editable="true"', ""), "deleted and retyped"),
        (GOOD.replace(' transcription="true"', ""), "deleted and retyped"),
        (GOOD.replace('editable="true"', 'editable="false"'), "deleted and retyped"),
        (GOOD.replace(' maxSubmissions="1"', ""), "second, empty box"),
        (GOOD.replace('maxSubmissions="1"', 'maxSubmissions="3"'), "second, empty box"),
        (GOOD.replace('rows="1"', 'rows="3"'), 'rows="3"'),
    ],
)
def test_one_flaw_gets_one_piece_of_advice(text_area: str, expected: str | None) -> None:
    given = advice(view(text_area, IMAGE))
    assert len(given) == (expected is not None)
    assert expected is None or expected in given[0]


@pytest.mark.parametrize(
    "config",
    [
        view(GOOD, IMAGE),
        f'<View style="display: flex">{IMAGE}{GOOD}</View>',
        view(f"<View>{IMAGE}</View>", f"<View>{GOOD}</View>"),
        view(IMAGE.replace("/>", ' maxWidth="480px"/>'), GOOD),
    ],
)
def test_a_text_area_that_stays_on_the_screen_is_left_where_it_is(config: str) -> None:
    assert advice(config) == []


@pytest.mark.parametrize("config", [OFFICIAL, TWO_LANGUAGES, REPEATER, view(IMAGE, CAPTION), view(CAPTION, IMAGE)])
def test_improving_once_is_enough_and_keeps_what_is_captioned(config: str) -> None:
    better = improved(config)
    assert better is not None
    assert advice(better) == []
    assert improved(better) is None
    assert caption_field(better) == caption_field(config)


def test_everything_else_stays_as_written() -> None:
    config = """<View>
  <!-- for the night shift -->
  <Style>.a &gt; .b { color: red }</Style>
  <Image name="image" value="$photo" zoom="true"/>
  <TextArea name="caption" toName="image" Rows="4" placeholder="was ist zu sehen? &amp; wo"/>
  <Choices name="ok" toName="image"><Choice value="yes"/></Choices>
</View>"""
    better = improved(config)
    assert (
        better
        == """<View>
  <!-- for the night shift -->
  <Style>.a &gt; .b { color: red }</Style>
  <TextArea name="caption" toName="image" Rows="1" placeholder="was ist zu sehen? &amp; wo" maxSubmissions="1" \
editable="true" transcription="true" />
  <Image name="image" value="$photo" zoom="true" />
  <Choices name="ok" toName="image"><Choice value="yes" /></Choices>
</View>
"""
    )


def test_the_preferred_text_area_is_the_one_improved() -> None:
    better = improved(TWO_LANGUAGES, prefer="caption_de")
    assert better is not None
    assert advice(better, prefer="caption_de") == []
    assert advice(better, prefer="caption_en") != []


def test_a_config_that_cannot_be_captioned_says_so() -> None:
    for function in (advice, improved):
        with pytest.raises(LabelConfigError, match="no TextArea"):
            function(view(IMAGE))
