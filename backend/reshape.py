"""The label config of a connected project: say what makes a draft costly to correct, and change it when asked."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Literal
from xml.etree import ElementTree

from labeling.config import LabelConfigError, advice, caption_field, improved
from labeling.session import LabelStudio

Say = Callable[[Literal["ok", "repaired", "advice"], str], None]


def orphaned_controls(old: str, new: str) -> list[str]:
    """Names of the controls of `old` whose annotations `new` could not show: name, target or kind differ."""
    return sorted(name for name, kind, target in _controls(old) - _controls(new))


def _controls(label_config: str) -> set[tuple[str, str, str]]:
    tags = ElementTree.fromstring(label_config).iter()
    return {(tag.get("name", ""), tag.tag, tag.get("toName", "")) for tag in tags if tag.get("toName")}


def advise_config(
    studio: LabelStudio, project: Mapping[str, Any], say: Say, *, apply: bool, prefer: str | None = None
) -> None:
    """Report on the project's label config, or with `apply` put the improved one in place.

    Annotations refer to a control by its name, kind and target; Label Studio itself does not check these for a
    TextArea, so a change that would orphan any is refused here.
    """
    current = str(project["label_config"])
    try:
        served = caption_field(current, prefer=prefer)
    except LabelConfigError as error:
        say("advice", f"label config: no captions for this project yet. {error}")
        return
    better = improved(current, prefer=prefer)
    if better is None:
        say("ok", f"label config: captions go to <TextArea name={served.from_name!r}>, cheap to correct")
        return
    lost = orphaned_controls(current, better)
    if lost and project.get("total_annotations_number"):
        say("advice", f"label config: left as it is, the better one would orphan annotations of {', '.join(lost)}")
    elif apply:
        studio.patch(f"/api/projects/{project['id']}/", json={"label_config": better})
        say("repaired", "label config: drafts now open in an edit field (Tab, then Ctrl+Enter)")
    else:
        _offer(project, advice(current, prefer=prefer), better, say)


def _offer(project: Mapping[str, Any], reasons: list[str], better: str, say: Say) -> None:
    for sentence in reasons:
        say("advice", f"label config: {sentence}")
    say(
        "advice",
        f"label config: better would be\n{better.strip()}\n"
        f"Put it in place with: python -m backend connect --project {project['id']} --improve-config",
    )
