"""A relay for a program: what it says of itself."""

from __future__ import annotations

from natkit.tools.relay import client_uris
from natkit.tools.relay_options import parse_listen

EVERYWHERE = [
    *("udp://127.0.0.1:3478", "udp://203.0.113.7:3478"),
    *("udp://[::1]:3478", "tls://[2001:db8::7]:5349", "tcp://127.0.0.2:3478"),
]


def test_clients_are_given_no_loopback_where_there_is_anything_else() -> None:
    assert client_uris([parse_listen(text) for text in EVERYWHERE]) == (
        "turn:203.0.113.7:3478?transport=udp",
        "turns:[2001:db8::7]:5349?transport=tcp",
    )


def test_clients_are_given_loopback_where_there_is_nothing_else() -> None:
    found = client_uris([parse_listen("udp://127.0.0.1:3478"), parse_listen("tcp://[::1]:3478")])
    assert found == ("turn:127.0.0.1:3478?transport=udp", "turn:[::1]:3478?transport=tcp")
