"""Label Studio's own origin: which addresses are Label Studio's, and so may be sent its token."""

from urllib.parse import SplitResult, urljoin, urlsplit, urlunsplit

_DEFAULT_PORTS = {"http": 80, "https": 443}


class Origin:
    """The address Label Studio is served at: scheme, host, port and, where it has one, the sub-path."""

    def __init__(self, url: str) -> None:
        """`url` as a browser shows it. Raises ValueError, saying what is wrong with it."""
        parts = urlsplit(url.strip())
        if parts.scheme not in _DEFAULT_PORTS or not parts.hostname or port_of(parts) is None:
            raise ValueError(f"is {bare(url)!r}; it must be a full address such as http://localhost:8080")
        if parts.username is not None or parts.password is not None:
            raise ValueError("holds a user name or password; give the address alone")
        self.scheme, self.netloc = parts.scheme, parts.netloc
        self.prefix = parts.path.rstrip("/")
        self._parts = parts

    @property
    def url(self) -> str:
        """The address without a slash at its end."""
        return f"{self.scheme}://{self.netloc}{self.prefix}"

    def owns(self, url: str) -> bool:
        """Whether `url` has the same host, in any case, and the same port.

        http:// and https:// on their default ports count as one, since a proxy in front often turns one into the
        other; `address` then asks by https if either of the two is. Another port is another server.
        """
        other = urlsplit(url)
        if other.username is not None or other.password is not None or port_of(other) is None:
            return False
        if (other.hostname or "").lower() != (self._parts.hostname or "").lower():
            return False
        same = (other.scheme, port_of(other)) == (self.scheme, port_of(self._parts))
        return same or (_on_default_port(other) and _on_default_port(self._parts))

    def address(self, path: str) -> str:
        """The full address of a path below this Label Studio, or of an address that it owns.

        A path that already starts with the sub-path is not given it twice. Raises ValueError for a foreign address.
        """
        if "://" not in path.partition("?")[0]:
            relative = path if path.startswith("/") else f"/{path}"
            prefix = "" if relative.startswith(f"{self.prefix}/") else self.prefix
            return f"{self.scheme}://{self.netloc}{prefix}{relative}"
        if not self.owns(path):
            raise ValueError(f"{bare(path)} is not on Label Studio's own origin, {self.url}")
        parts = urlsplit(path)
        if parts.scheme == "http" and self.scheme == "https":
            # Never downgraded: the token would travel in the clear.
            return urlunsplit(("https", self.netloc, parts.path, parts.query, ""))
        return path


def redirect_target(status: int, location: str | None, url: str) -> str | None:
    """The absolute address that an answer to `url` redirects to; None when it does not redirect."""
    return urljoin(url, location) if status in (301, 302, 303, 307, 308) and location else None


def port_of(parts: SplitResult) -> int | None:
    """The port, the scheme's own when none is written; None for one that is no port or a scheme other than http(s)."""
    try:
        written = parts.port
    except ValueError:
        return None
    default = _DEFAULT_PORTS.get(parts.scheme)
    return written if written is not None and default is not None else default


def bare(url: str) -> str:
    """An address fit for a message: without query, fragment, user name or password, any of which may be a secret."""
    try:
        parts = urlsplit(url)
    except ValueError:
        return "an address that cannot be read"
    return urlunsplit((parts.scheme, parts.netloc.rpartition("@")[2], parts.path, "", ""))[:200]


def _on_default_port(parts: SplitResult) -> bool:
    return port_of(parts) == _DEFAULT_PORTS.get(parts.scheme)
