"""Candidates as text: what browsers write is read and written; junk is refused."""

from __future__ import annotations

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from natkit.errors import MalformedMessage
from natkit.ice.candidate import Candidate, MalformedCandidate
from natkit.wire import TransportAddress

CHROME = (
    "candidate:842163049 1 udp 1677729535 203.0.113.7 46154 typ srflx raddr 10.0.1.2 rport 46154"
    " generation 0 ufrag EEtu network-id 3 network-cost 10"
)


def test_what_a_browser_sends_is_read_in_full():
    found = Candidate.from_sdp(CHROME)
    assert (found.foundation, found.component, found.transport) == ("842163049", 1, "udp")
    assert (found.priority, found.host, found.port) == (1677729535, "203.0.113.7", 46154)
    assert (found.type, found.related_address, found.related_port) == ("srflx", "10.0.1.2", 46154)
    assert found.generation == 0
    expected = (("ufrag", "EEtu"), ("network-id", "3"), ("network-cost", "10"))
    assert found.extensions == expected


def test_unknown_extensions_are_given_on():
    assert f"candidate:{Candidate.from_sdp(CHROME).to_sdp()}" == CHROME


@pytest.mark.parametrize("prefix", ["", "candidate:", "a=candidate:"])
def test_text_is_read_with_and_without_its_label(prefix: str):
    assert Candidate.from_sdp(f"{prefix}1 1 udp 1 192.0.2.1 5 typ host").port == 5


def test_tcp_type_is_kept():
    text = "1 1 tcp 1518214911 192.0.2.1 9 typ host tcptype active"
    assert Candidate.from_sdp(text).tcptype == "active"
    assert Candidate.from_sdp(text).to_sdp() == text


def test_mdns_name_has_no_address():
    found = Candidate.from_sdp("1 1 udp 1 0b5f-11.local 5 typ host")
    assert found.is_name
    assert found.address is None


def test_address_is_in_canonical_form():
    found = Candidate.from_sdp("1 1 udp 1 2001:DB8:0:0::0001 5 typ host")
    assert found.address == TransportAddress("2001:db8::1", 5)


@pytest.mark.parametrize(
    ("text", "where"),
    [
        ("", "candidate"),
        ("1 1 udp 1 192.0.2.1 5 typ", "candidate"),
        ("1 1 udp 1 192.0.2.1 5 kind host", "candidate"),
        ("1 0 udp 1 192.0.2.1 5 typ host", "component"),
        ("1 257 udp 1 192.0.2.1 5 typ host", "component"),
        ("1 1 udp 4294967296 192.0.2.1 5 typ host", "priority"),
        ("1 1 udp -1 192.0.2.1 5 typ host", "priority"),
        ("1 1 udp 1 192.0.2.1\x1b[31m 5 typ host", "address"),
        ("1 1 udp 1 192.0.2.1\0 5 typ host", "address"),
        ("1 1 udp 1 192.0.2.1 65536 typ host", "port"),
        ("1 1 udp 1 192.0.2.1 ５ typ host", "port"),
        ("1 1 udp 1 192.0.2.1 5 typ srflx raddr 1.2.3.4 rport x", "rport"),
        ("1 1 udp 1 192.0.2.1 5 typ host generation -", "generation"),
        ("1 1 udp 1 192.0.2.1 5 typ host " + "x" * 3000, "candidate"),
    ],
)
def test_what_is_no_candidate_is_refused_with_the_field(text: str, where: str):
    with pytest.raises(MalformedCandidate) as error:
        Candidate.from_sdp(text)
    assert error.value.where == where
    assert isinstance(error.value, ValueError)  # as aioice's callers expect


@given(st.text(max_size=200))
def test_any_text_is_read_or_refused(text: str):
    with contextlib.suppress(MalformedMessage):
        Candidate.from_sdp(text)


words = st.text(st.characters(categories=("L", "N")), min_size=1, max_size=10)


@given(
    st.builds(
        Candidate,
        words,
        st.integers(1, 256),
        st.sampled_from(["udp", "tcp", "UDP"]),
        st.integers(0, 2**32 - 1),
        st.ip_addresses().map(str),
        st.integers(0, 65535),
        st.sampled_from(["host", "srflx", "prflx", "relay", "new"]),
        st.none() | st.ip_addresses().map(str),
        st.none() | st.integers(0, 65535),
        st.none() | st.sampled_from(["active", "passive", "so"]),
        st.none() | st.integers(0, 100),
        st.lists(st.tuples(words.map("x-".__add__), words), max_size=3).map(tuple),
    )
)
def test_candidate_survives_its_text(candidate: Candidate):
    assert Candidate.from_sdp(candidate.to_sdp()) == candidate


@pytest.mark.parametrize(
    ("other", "pairs"),
    [
        ("1 1 UDP 1 192.0.2.2 5 typ host", True),
        ("1 2 udp 1 192.0.2.2 5 typ host", False),
        ("1 1 tcp 1 192.0.2.2 5 typ host", False),
        ("1 1 udp 1 2001:db8::1 5 typ host", False),
        ("1 1 udp 1 name.local 5 typ host", False),
    ],
)
def test_only_like_candidates_pair(other: str, pairs: bool):
    ours = Candidate.from_sdp("1 1 udp 1 192.0.2.1 5 typ host")
    assert ours.can_pair_with(Candidate.from_sdp(other)) is pairs


@pytest.mark.parametrize(("transport", "words"), [("UDP", ""), ("udp", ""), ("tcp", " TCP")])
def test_words_for_a_candidate_name_its_transport_unless_that_is_udp(transport: str, words: str):
    found = Candidate.from_sdp(f"1 1 {transport} 1 192.0.2.1 9 typ host")
    assert str(found) == f"host 192.0.2.1:9{words}"
