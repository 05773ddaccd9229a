"""Label Studio's local files (`/data/local-files/?d=folder/a.jpg`) read from the disk that it shares with us."""

from pathlib import Path
from urllib.parse import parse_qs, urlsplit

from labeling.transfer import ImageFetchError, Limits

_ROUTE = "/data/local-files"


class LocalFiles:
    """The folder that Label Studio serves as local files, as this machine sees it."""

    def __init__(self, root: Path) -> None:
        """Raises ValueError for a root that is no folder, or is the whole disk."""
        self._root = root.resolve()
        if not self._root.is_dir() or self._root == Path(self._root.anchor):
            raise ValueError(
                f"LOCAL_FILES_DOCUMENT_ROOT is {str(root)!r}; it must be an existing folder, and not the whole disk."
            )

    def read(self, uri: str, limits: Limits) -> bytes | None:
        """The file's bytes; None when `uri` is no local-files address, or the file is not on this disk.

        Raises ImageFetchError for a path that leads out of the folder, by `..` or by a link, and for too large a file.
        """
        parts = urlsplit(uri)
        if not parts.path.rstrip("/").endswith(_ROUTE):
            return None
        named = parse_qs(parts.query).get("d", [""])[-1]
        path = self._inside(named)
        if not path.is_file():
            return None
        with path.open("rb") as file:
            body = file.read(limits.max_bytes + 1)
        limits.check_size(len(body), _ROUTE)
        return body

    def _inside(self, named: str) -> Path:
        try:
            # Like Label Studio's own view, "/a.jpg" means a.jpg in the folder.
            path = (self._root / named.lstrip("/")).resolve()
        except (OSError, ValueError):
            raise ImageFetchError(f"{_ROUTE} was asked for a path that is none.") from None
        if not named or not path.is_relative_to(self._root):
            raise ImageFetchError(f"{_ROUTE} was asked for a path outside LOCAL_FILES_DOCUMENT_ROOT, which is refused.")
        return path
