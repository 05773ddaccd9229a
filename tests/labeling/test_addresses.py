import ipaddress
import socket

import pytest

from labeling.addresses import AddressRefused, AllowedHosts, is_public, resolve
from labeling.transfer import ImageFetchError

PRIVATE = [
    "0.0.0.0", "0.1.2.3", "10.0.0.1", "100.64.0.1", "127.0.0.1", "127.255.255.254", "169.254.169.254", "172.16.0.1",
    "172.31.255.255", "192.0.0.1", "192.0.2.1", "192.88.99.1", "192.168.1.1", "198.18.0.1", "198.51.100.1",
    "203.0.113.1", "224.0.0.1", "239.255.255.250", "240.0.0.1", "255.255.255.255",
    "::", "::1", "::ffff:127.0.0.1", "::ffff:169.254.169.254", "::ffff:10.0.0.1", "::127.0.0.1", "64:ff9b::7f00:1",
    "64:ff9b:1::1", "100::1", "2001::1", "2001:db8::1", "2002:7f00:1::", "3fff::1", "5f00::1", "fc00::1",
    "fd00:ec2::254", "fe80::1", "fec0::1", "ff02::1",
]  # fmt: skip
PUBLIC = ["1.1.1.1", "8.8.8.8", "172.32.0.1", "192.0.1.1", "100.128.0.1", "2606:4700::1111", "::ffff:8.8.8.8"]


@pytest.mark.parametrize("address", PRIVATE)
def test_not_public(address: str) -> None:
    assert not is_public(ipaddress.ip_address(address))
    with pytest.raises(AddressRefused, match=r"not public.*IMAGE_ALLOWED_HOSTS"):
        resolve(address, 80, AllowedHosts())


@pytest.mark.parametrize("address", PUBLIC)
def test_public(address: str) -> None:
    assert is_public(ipaddress.ip_address(address))


# Spellings that a filter on the text of an address would let through; the resolver reads each as a private one.
DISGUISED = ["localhost", "LOCALHOST", "2130706433", "0x7f000001", "0177.0.0.1", "127.1", "0x7f.1", "0", "::1"]


@pytest.mark.parametrize("host", DISGUISED)
def test_disguised_loopback_is_refused(host: str) -> None:
    with pytest.raises(AddressRefused):
        resolve(host, 80, AllowedHosts())


def answering(monkeypatch: pytest.MonkeyPatch, *addresses: str) -> None:
    """Makes every name resolve to these: what a hostile DNS server can do."""

    def getaddrinfo(host: str, port: int, type: int = 0) -> list[tuple[object, ...]]:
        return [(socket.AF_INET, type, 6, "", (address, port)) for address in addresses]

    monkeypatch.setattr(socket, "getaddrinfo", getaddrinfo)


def test_a_name_that_resolves_to_a_private_address_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    answering(monkeypatch, "192.168.7.7")
    with pytest.raises(AddressRefused, match=r"'photos\.example'"):
        resolve("photos.example", 443, AllowedHosts())


def test_of_mixed_answers_only_the_permitted_are_used(monkeypatch: pytest.MonkeyPatch) -> None:
    answering(monkeypatch, "127.0.0.1", "8.8.8.8", "10.0.0.1", "8.8.8.8", "::ffff:1.1.1.1")
    assert [str(address) for address in resolve("photos.example", 443, AllowedHosts())] == ["8.8.8.8", "1.1.1.1"]


@pytest.mark.parametrize(
    ("entry", "host", "address", "allowed"),
    [
        ("minio", "minio", "172.18.0.5", True),
        ("MinIO.", "minio", "172.18.0.5", True),
        ("minio", "minio.evil.example", "172.18.0.5", False),
        ("minio", "notminio", "172.18.0.5", False),
        ("*.lan", "photos.lan", "192.168.1.9", True),
        ("*.lan", "a.b.lan", "192.168.1.9", True),
        ("*.lan", "lan", "192.168.1.9", False),
        ("*.lan", "plan", "192.168.1.9", False),
        ("photos.lan", "a.photos.lan", "192.168.1.9", False),
        ("10.0.0.5", "anything", "10.0.0.5", True),
        ("10.0.0.5", "anything", "10.0.0.6", False),
        ("10.0.0.0/8", "anything", "10.200.0.6", True),
        ("10.1.2.3/8", "anything", "10.200.0.6", True),
        ("10.0.0.0/8", "10.evil.example", "127.0.0.1", False),
        ("10.0.0.0/8", "anything", "::ffff:10.0.0.1", True),
        ("fd00::/8", "anything", "fd12::1", True),
        ("[::1]", "::1", "::1", True),
    ],
)
def test_the_allow_list(monkeypatch: pytest.MonkeyPatch, entry: str, host: str, address: str, allowed: bool) -> None:
    answering(monkeypatch, address)
    if allowed:
        assert len(resolve(host, 80, AllowedHosts([entry]))) == 1
    else:
        with pytest.raises(AddressRefused):
            resolve(host, 80, AllowedHosts([entry]))


@pytest.mark.parametrize(
    "entry", ["", " ", "http://minio", "minio:9000", "a/b", "10.0.0.0/33", "*", "a*.lan", "me@host"]
)
def test_an_entry_that_is_no_host_is_refused(entry: str) -> None:
    with pytest.raises(ValueError, match=r"IMAGE_ALLOWED_HOSTS holds .* it takes host names"):
        AllowedHosts([entry])


@pytest.mark.parametrize("host", ["no-such-host.invalid", "a" * 70 + ".example", "a..b"])
def test_a_name_without_an_address_is_explained(host: str) -> None:
    with pytest.raises(ImageFetchError, match="has no address"):
        resolve(host, 80, AllowedHosts())
