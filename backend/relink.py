"""Keep three names one: the ML backend's title, the project's model_version, and the version that is served.

Label Studio takes a project's model_version for the title of a live backend, and for the version of the stored
predictions whose scores say which task comes next. Both work only while all three are the same string, so after every
promotion and every rollback the first two follow the third. Meanwhile nothing breaks: the label stream asks the live
backend, whatever its title.
"""

from __future__ import annotations

from dataclasses import dataclass

from backend.checks.chain import SLOW_S, backends_of
from backend.links import Link, Row, at_url, backend_body, is_ours
from labeling.session import LabelStudio

TRIES = 4


class RelinkError(RuntimeError):
    """Label Studio did not keep the names as sent."""


@dataclass(frozen=True)
class Names:
    """What Label Studio holds. `row` is our ML backend there, `project` the project's settings."""

    link: Link
    row: Row
    project: Row

    @property
    def title(self) -> str:
        return str(self.row.get("title") or "")

    @property
    def meant(self) -> str:
        return str(self.project.get("model_version") or "")

    @property
    def of_another_version(self) -> bool:
        """Whether the title is that of another version of ours: a swap that Label Studio has not heard of."""
        return is_ours(self.title) and self.title != self.link.version

    @property
    def follows(self) -> bool:
        """Whether the project means our backend. A person may have chosen other predictions, or none: that stays."""
        return self.meant == self.title or is_ours(self.meant)

    def faults(self) -> list[str]:
        faults = [] if self.title == self.link.version else [f"title {self.title!r}"]
        if self.follows and self.meant != self.link.version:
            faults.append(f"model_version {self.meant!r}")
        return faults


def read_names(studio: LabelStudio, link: Link) -> Names | None:
    """The names as they are; None where the project has no ML backend at our address. Raises LabelStudioError.

    Not for every day: to list ML backends, Label Studio asks each how it is, and saves what it heard.
    """
    rows = at_url(backends_of(studio, link.project), link.url)
    return Names(link, rows[0], studio.get(f"/api/projects/{link.project}/")) if rows else None


def relink(studio: LabelStudio, names: Names) -> Names:
    """Put the names right, and read them back. Sampling and all else is left as it is.

    Label Studio saves an ML backend whole whenever it has looked at it, for every task that is opened: a look that
    began before undoes this, so it takes several tries. Raises LabelStudioError, and RelinkError where none held.
    """
    for _ in range(TRIES):
        _write(studio, names)
        after = read_names(studio, names.link)
        if after is None:
            raise RelinkError(f"project {names.link.project} has lost its ML backend at {names.link.url}")
        if not after.faults():
            return after
        names = after
    raise RelinkError(
        f"project {names.link.project} has {' and '.join(names.faults())} after it was given {names.link.version!r}"
    )


def _write(studio: LabelStudio, names: Names) -> None:
    link = names.link
    if names.title != link.version:
        studio.request("PATCH", f"/api/ml/{names.row['id']}", json=backend_body(link), timeout=SLOW_S)
    if names.follows and names.meant != link.version:
        studio.patch(f"/api/projects/{link.project}/", json={"model_version": link.version})
