"""HTTP as far as a rendezvous speaks it: in pieces, bounded, and nothing that smuggles."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from natkit.errors import MalformedMessage
from natkit.rendezvous.http import HEAD_BYTES, HttpMessage, HttpReader, answer, request


def read(data: bytes, most: int = 100) -> HttpMessage | None:
    return HttpReader(most).feed(data)


def test_a_request_is_read_back():
    message = read(request("example.org:7478", "/path", "token", b"body"))
    assert message is not None
    assert message.start == ("POST", "/path", "HTTP/1.1")
    assert message.headers["authorization"] == "Bearer token"
    assert message.headers["host"] == "example.org:7478"
    assert message.body == b"body"


def test_an_answer_is_read_back():
    message = read(answer(404, "text/plain", b"no"))
    assert message is not None
    assert message.start == ("HTTP/1.1", "404", "Not Found")
    assert message.body == b"no"


def test_pieces_make_the_same_message():
    data = request("example.org", "/path", "token", b"body")
    reader = HttpReader(100)
    found = [reader.feed(data[i : i + 1]) for i in range(len(data))]
    assert found[:-1] == [None] * (len(data) - 1)
    assert found[-1] == read(data)


@pytest.mark.parametrize(
    "data",
    [
        b"POST / HTTP/1.1\r\nContent-Length: 101\r\n\r\n",
        b"POST / HTTP/1.1\r\nContent-Length: -1\r\n\r\n",
        b"POST / HTTP/1.1\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nxx",
        b"POST / HTTP/1.1\r\nContent-Length: " + b"9" * 5000 + b"\r\n\r\n",
        b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        b"POST / HTTP/1.1\r\nContent-Length : 1\r\n\r\nx",
        b"POST / HTTP/1.1\r\nno colon\r\n\r\n",
        b"POST\r\n\r\n",
        b"\x16\x03\x01\r\n\r\n",
        b"x" * (HEAD_BYTES + 1),
    ],
    ids=lambda data: repr(data[:60]),
)
def test_what_is_not_ours_is_malformed(data: bytes):
    with pytest.raises(MalformedMessage):
        read(data)


@given(st.lists(st.binary(max_size=200), max_size=60))
def test_any_bytes_are_a_message_or_malformed_and_never_kept_beyond_the_limit(pieces: list[bytes]):
    reader = HttpReader(100)
    try:
        for piece in pieces:
            reader.feed(piece)
    except MalformedMessage:
        return
    assert len(reader._came) <= HEAD_BYTES + 4 + 60 * 200
