"""As much of HTTP/1.1 (RFC 9112) as a rendezvous needs: one request and one answer a connection.

    start line CRLF *(name ":" value CRLF) CRLF body       with Content-Length, never chunked

Rule of the file: nothing is kept beyond HEAD_BYTES and the body's limit, whatever comes.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from natkit.errors import MalformedMessage
from natkit.rendezvous.rooms import Refusal

HEAD_BYTES = 4096
"""Of a start line and headers; ours are 300, and proxies add their own."""

ROOMS = "/natkit/1/rooms/"
"""Where rooms are: POST ROOMS + NAME + "/" + verb."""

_RFC = "RFC 9112"
_END = b"\r\n\r\n"
_REASONS = {200: "OK", 404: "Not Found", 405: "Method Not Allowed"}


@dataclass(frozen=True, slots=True)
class HttpMessage:
    """A request or an answer.

    Attributes:
        start:   the words of the start line, three.
        headers: names in small letters.
    """

    start: tuple[str, str, str]
    headers: Mapping[str, str]
    body: bytes


class HttpReader:
    """Reads one message from whatever pieces it comes in.

    Args: most: bytes of body to take.
    """

    def __init__(self, most: int) -> None:
        self._most = most
        self._came = b""

    def feed(self, data: bytes) -> HttpMessage | None:
        """Take bytes; None: the message is not complete.

        Raises: MalformedMessage: it is too long, or not what this file speaks.
        """
        self._came += data
        head, found, body = self._came.partition(_END)
        if len(head) > HEAD_BYTES:
            raise MalformedMessage("head", _RFC, f"longer than {HEAD_BYTES} bytes")
        if not found:
            return None
        start, headers = _head(head)
        size = _size(headers, self._most)
        return None if len(body) < size else HttpMessage(start, headers, body[:size])


def request(host: str, path: str, token: str, body: bytes) -> bytes:
    """Return a POST of `body`, with `token` as the bearer's."""
    return _message(
        f"POST {path} HTTP/1.1",
        {"Host": host, "Authorization": f"Bearer {token}", "Content-Type": "text/plain"},
        body,
    )


def answer(status: int, content_type: str, body: bytes) -> bytes:
    """Return an answer."""
    return _message(
        f"HTTP/1.1 {status} {_REASONS.get(status, 'Refused')}",
        {"Content-Type": content_type, "Cache-Control": "no-store"},
        body,
    )


def refusal_named(status: int, word: str) -> Refusal | None:
    """Return what an answer refuses with; None: it is not one of ours."""
    return next((it for it in Refusal if (it.status, it.word) == (status, word)), None)


def _message(start: str, headers: Mapping[str, str], body: bytes) -> bytes:
    named = {**headers, "Content-Length": str(len(body)), "Connection": "close"}
    lines = [start, *(f"{name}: {value}" for name, value in named.items()), "", ""]
    return "\r\n".join(lines).encode() + body


def _head(head: bytes) -> tuple[tuple[str, str, str], dict[str, str]]:
    first, *lines = head.decode("latin-1").split("\r\n")
    words = first.split(" ", 2)
    if len(words) != 3:
        raise MalformedMessage("start line", f"{_RFC} §2.1", f"{len(words)} words")
    headers: dict[str, str] = {}
    for line in lines:
        name, colon, value = line.partition(":")
        name = name.lower()
        # Two lengths are how requests are smuggled past proxies.
        if not colon or name != name.strip() or (name in headers and name == "content-length"):
            raise MalformedMessage("header", f"{_RFC} §5.1", f"{line[:40]!r}")
        headers[name] = value.strip()
    return (words[0], words[1], words[2]), headers


def _size(headers: Mapping[str, str], most: int) -> int:
    if "transfer-encoding" in headers:
        raise MalformedMessage("Transfer-Encoding", f"{_RFC} §6.1", "it is not understood")
    text = headers.get("content-length", "0")
    if not (text.isascii() and text.isdigit() and len(text) < 12):
        raise MalformedMessage("Content-Length", f"{_RFC} §6.2", f"{text[:20]!r}")
    if int(text) > most:
        raise MalformedMessage("body", f"{_RFC} §6.2", f"{text} bytes, at most {most} are taken")
    return int(text)
