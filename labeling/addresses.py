"""Which network addresses a task's picture may come from: public ones, and those allowed by name or by range.

A task is written by whoever can import data. Without this rule it could make this server read the cloud's metadata
service, or any machine of the private network. Names are resolved here once, and the address found is the one that is
connected to: a name that resolves differently a moment later changes nothing.
"""

import ipaddress
import socket
from collections.abc import Sequence

from labeling.transfer import ImageFetchError

Address = ipaddress.IPv4Address | ipaddress.IPv6Address

# Beyond what the standard library calls not global: ranges that carry an IPv4 address inside, or lead to shared
# infrastructure (IANA special-purpose registries; RFC 6052, 3056, 7526, 4380, 9602, 9637, 3879).
_SPECIAL = tuple(
    ipaddress.ip_network(text)
    for text in (
        "100.64.0.0/10",
        "192.0.0.0/24",
        "192.88.99.0/24",
        "64:ff9b::/96",
        "64:ff9b:1::/48",
        "2001::/23",
        "2002::/16",
        "3fff::/20",
        "5f00::/16",
        "fec0::/10",
    )
)


class AddressRefused(ImageFetchError):
    """The address is private, loopback, link-local, multicast or reserved, and not on the allow-list."""


class AllowedHosts:
    """Hosts that may be fetched from although their address is not public: names, `*.names`, addresses and ranges."""

    def __init__(self, entries: Sequence[str] = ()) -> None:
        """Raises ValueError for an entry that is none of those."""
        self._names: set[str] = set()
        self._networks: list[ipaddress.IPv4Network | ipaddress.IPv6Network] = []
        for entry in entries:
            self._add(entry.strip().lower().rstrip("."))

    def allow(self, host: str, address: Address) -> bool:
        """Whether the host's name or the address it resolved to is listed."""
        name = host.lower().rstrip(".")
        parents = {f"*.{name.split('.', depth)[-1]}" for depth in range(1, name.count(".") + 1)}
        return bool({name, *parents} & self._names) or any(address in network for network in self._networks)

    def _add(self, entry: str) -> None:
        try:
            self._networks.append(ipaddress.ip_network(entry.strip("[]"), strict=False))
            return
        except ValueError:
            pass
        if not entry or any(character in entry for character in "/:@ ") or "*" in entry.removeprefix("*."):
            raise ValueError(
                f"IMAGE_ALLOWED_HOSTS holds {entry!r}; it takes host names (photos.lan, *.photos.lan), "
                "addresses (10.0.0.5) and ranges (10.0.0.0/8), without scheme or port."
            )
        self._names.add(entry)


def is_public(address: Address) -> bool:
    """Whether the address belongs to the public internet."""
    address = unmapped(address)
    if address.is_multicast or address.is_reserved or address.is_unspecified or not address.is_global:
        return False
    return not any(address in network for network in _SPECIAL)


def unmapped(address: Address) -> Address:
    """The IPv4 address inside an IPv4-mapped IPv6 one (`::ffff:10.0.0.1`), which is what gets connected to."""
    inside = address.ipv4_mapped if isinstance(address, ipaddress.IPv6Address) else None
    return inside or address


def resolve(host: str, port: int, allowed: AllowedHosts) -> list[Address]:
    """The addresses of `host` that may be connected to, in the resolver's order; at least one.

    `host` in any spelling the resolver takes, decimal and octal IPv4 included: what counts is what it resolves to.
    Raises AddressRefused when all are refused, ImageFetchError when the name has no address.
    """
    try:
        answers = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError):
        raise ImageFetchError(f"The host name {host!r} has no address. Check its spelling, and the DNS here.") from None
    found = [unmapped(ipaddress.ip_address(str(answer[4][0]))) for answer in answers]
    permitted = [address for address in found if is_public(address) or allowed.allow(host, address)]
    if not permitted:
        raise AddressRefused(
            f"The host {host!r} has an address that is not public, and pictures are fetched from public addresses and "
            "from Label Studio only. If it is yours, add it to IMAGE_ALLOWED_HOSTS."
        )
    return list(dict.fromkeys(permitted))
