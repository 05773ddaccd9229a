"""Label configs that the tests of this room share."""

OFFICIAL = """\
<View>
  <Image name="image" value="$captioning"/>
  <Header value="Describe the image:"/>
  <TextArea name="caption" toName="image" placeholder="Enter description here..." rows="5" maxSubmissions="1"/>
</View>
"""

TWO_LANGUAGES = """\
<View>
  <Image name="image" value="$photo"/>
  <TextArea name="notes" toName="image"/>
  <TextArea name="caption_en" toName="image"/>
  <TextArea name="caption_de" toName="image"/>
</View>
"""

REPEATER = """\
<View>
  <Repeater on="$images" indexFlag="{{idx}}">
    <Image name="page_{{idx}}" value="$images[{{idx}}].url"/>
    <TextArea name="cap_{{idx}}" toName="page_{{idx}}"/>
  </Repeater>
</View>
"""


def view(*tags: str) -> str:
    """The tags in a View."""
    return f"<View>{''.join(tags)}</View>"


IMAGE = '<Image name="image" value="$photo"/>'
CAPTION = '<TextArea name="caption" toName="image"/>'
