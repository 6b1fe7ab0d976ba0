"""SSDP, as far as UPnP needs it to find the gateway: one search, one answer.

UPnP Device Architecture 1.1 §1.3. What follows (a device description in XML, SOAP calls) is left
to a library, in natkit.aio.upnp.
"""

from __future__ import annotations

from dataclasses import dataclass
from urllib.parse import urlsplit

from natkit.errors import MalformedMessage
from natkit.wire.address import TransportAddress

PORT = 1900
MULTICAST = TransportAddress("239.255.255.250", PORT)
GATEWAY = "urn:schemas-upnp-org:device:InternetGatewayDevice:1"
"""Version 1, which a version 2 gateway must answer to as well (UDA 1.1 §1.3.2)."""

_CLAUSE = "UPnP UDA 1.1 §1.3.3"
_LONGEST = 2048


@dataclass(frozen=True, slots=True)
class Found:
    """A gateway that answered a search.

    Attributes:
        location: URL of its device description; plain HTTP.
        server:   what it calls itself; empty where it does not.
    """

    location: str
    server: str


@dataclass(frozen=True, slots=True)
class SearchGateway:
    """Asks for UPnP Internet gateways, and changes nothing on them (UDA 1.1 §1.3.2)."""

    def encode(self) -> bytes:
        """Return the datagram."""
        lines = (
            "M-SEARCH * HTTP/1.1",
            f"HOST: {MULTICAST}",
            'MAN: "ssdp:discover"',
            "MX: 1",  # the shortest spread of answers, in seconds, that a device must take
            f"ST: {GATEWAY}",
        )
        return ("\r\n".join(lines) + "\r\n\r\n").encode()

    def answer(self, data: bytes) -> Found | None:
        """Return the gateway that answers; None: another kind of device does.

        Raises: MalformedMessage.
        """
        headers = decode_headers(data)
        if "InternetGatewayDevice" not in headers.get("st", ""):
            return None
        location = headers.get("location", "")
        if _host(location) is None:
            raise MalformedMessage("LOCATION", _CLAUSE, f"{location!r} is no http:// URL")
        return Found(location, headers.get("server", ""))


def decode_headers(data: bytes) -> dict[str, str]:
    """Return the headers of a search response, names in lower case. Raises: MalformedMessage."""
    if len(data) > _LONGEST:
        raise MalformedMessage("search response", _CLAUSE, f"{len(data)} bytes")
    start, *lines = data.decode("latin-1").split("\r\n")  # any byte is a latin-1 letter
    if not start.startswith("HTTP/1.") or " 200" not in start:
        raise MalformedMessage("status line", _CLAUSE, repr(start[:40]))
    pairs = (line.partition(":") for line in lines)
    return {name.strip().lower(): value.strip() for name, colon, value in pairs if colon}


def is_at(location: str, ip: str) -> bool:
    """Return whether the URL `location` leads to `ip`.

    A gateway that sends us to some other host is not followed: an answer to a search must not
    become a request to wherever its sender likes.
    """
    return _host(location) == ip


def _host(location: str) -> str | None:
    try:
        url = urlsplit(location)
        host = url.hostname if url.scheme == "http" else None
    except ValueError:
        return None
    return host
