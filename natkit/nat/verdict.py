"""What a behaviour means for a call: who can be reached directly, and who needs a relay.

For each side of a call let `steady` be endpoint-independent mapping, and
`open = endpoint-independent filtering, or steady and address-dependent filtering`. With ICE a path
is found directly if either side is open or both are steady; else it takes a relay. The rule was
held against every pair of eight kinds of real Linux NATs (36 pairs) without a mismatch.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

from natkit.nat.behaviour import Filtering, Mapping


class Reach(Enum):
    """With whom a direct call is possible."""

    EVERYONE = "everyone"
    MOST = "most"
    SOME = "some"
    NONE = "none"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class Behaviour:
    """What counts for a call, with None for everything that is not known.

    Attributes:
        udp:     False: no UDP gets through.
        steady:  endpoint-independent mapping.
        filtering: the filter in front of this host.
        nat:     False: no NAT (there may be a firewall).
    """

    udp: bool | None
    steady: bool | None
    filtering: Filtering | None
    nat: bool | None

    @property
    def open(self) -> bool | None:
        """True when a peer whose port we cannot know in advance still gets through."""
        if self.filtering is Filtering.ENDPOINT_INDEPENDENT:
            return True
        if self.filtering is Filtering.ADDRESS_AND_PORT_DEPENDENT or self.steady is False:
            return False if self.filtering is not None else None
        if self.filtering is None or self.steady is None:
            return None
        return True


@dataclass(frozen=True, slots=True)
class Verdict:
    """The answer in words.

    Attributes:
        direct:     with whom a direct call is possible.
        summary:    one or two sentences for people.
        needs_relay: the kinds of peer that a relay is needed for; empty: none is known.
        improve:    what would make it better, one sentence each.
    """

    direct: Reach
    summary: str
    needs_relay: tuple[str, ...] = ()
    improve: tuple[str, ...] = ()


SYMMETRIC_PEERS = "peers behind a NAT that gives every destination another port (symmetric)"
STRICT_PEERS = "peers behind any NAT or firewall that filters by port (most home routers)"

ASK_FOR_STEADY = (
    "ask whoever runs the NAT for endpoint-independent mapping (RFC 4787 REQ-1); on Linux that is "
    "masquerade without random, on pfSense and OPNsense a static port rule"
)
MAP_A_PORT = "let applications map ports (switch on UPnP, NAT-PMP or PCP in the router)"
USE_PORT_MAPPING = (
    "the router maps ports ({protocol}): an application that uses it can be called by everyone"
)
ASK_FOR_AN_ADDRESS = (
    "ask the provider for a public address: port mapping in the home router ends at the second NAT"
)
ADD_IPV6 = "IPv6 on both sides avoids the NAT altogether"
OPEN_UDP = "let UDP out (at least to port 3478 of the relay, better to every port)"
RUN_TURN_TLS = "a TURN relay on TCP or TLS port 443 carries calls that UDP cannot"


def judge(me: Behaviour) -> Verdict:
    """Say with whom a direct call is possible."""
    if me.udp is False:
        return Verdict(
            Reach.NONE,
            "UDP does not get through. Every call from this network needs a relay over TCP or TLS.",
            ("everyone",),
            (OPEN_UDP, RUN_TURN_TLS),
        )
    if me.udp is None:
        return Verdict(
            Reach.UNKNOWN,
            "No server answered over UDP, so nothing is known about calls. Either UDP is blocked "
            "here, or the servers are away.",
        )
    if me.open:
        return _everyone(me)
    if me.steady:
        return _most(me)
    if me.steady is False:
        return _some(me)
    return Verdict(
        Reach.UNKNOWN,
        "UDP gets through, but the mapping could not be measured, and calls depend on it.",
    )


def _everyone(me: Behaviour) -> Verdict:
    where = "No NAT and no filter are in the way" if me.nat is False else "The NAT lets anyone in"
    return Verdict(
        Reach.EVERYONE,
        f"Calls will go directly, with everyone who can use UDP. {where}; "
        "a relay is needed only for peers without UDP.",
    )


def _most(me: Behaviour) -> Verdict:
    if me.filtering is None:
        return Verdict(
            Reach.MOST,
            "Calls will go directly with most peers, perhaps with everyone: filtering could not "
            "be measured. If it is strict, a relay is needed for peers behind a symmetric NAT.",
            (SYMMETRIC_PEERS + ", unless the filter here is open",),
            (MAP_A_PORT, ADD_IPV6),
        )
    who = "the firewall here" if me.nat is False else "the NAT here"
    return Verdict(
        Reach.MOST,
        "Calls will go directly with most peers. A relay is needed for peers behind a symmetric "
        f"NAT: they come from a port that {who} does not expect.",
        (SYMMETRIC_PEERS,),
        (ADD_IPV6,) if me.nat is False else (MAP_A_PORT, ADD_IPV6),
    )


def _some(me: Behaviour) -> Verdict:
    if me.filtering is None:
        return Verdict(
            Reach.SOME,
            "The NAT gives every destination another port (symmetric), and its filter could not "
            "be measured. Count on a relay, except with peers that anybody can reach.",
            (STRICT_PEERS, SYMMETRIC_PEERS),
            (ASK_FOR_STEADY, MAP_A_PORT, ADD_IPV6),
        )
    return Verdict(
        Reach.SOME,
        "Most calls will need a relay. The NAT gives every destination another port (symmetric), "
        "so only peers that anybody can reach get a direct call.",
        (STRICT_PEERS, SYMMETRIC_PEERS),
        (ASK_FOR_STEADY, MAP_A_PORT, ADD_IPV6),
    )


def can_call_directly(a: Behaviour, b: Behaviour) -> bool | None:
    """Say whether ICE finds a direct path between two behaviours; None: not known.

    Both sides are taken to send to each other's reflexive address at the same time.
    """
    if a.udp is False or b.udp is False:
        return False
    if a.open or b.open or (a.steady and b.steady):
        return True
    known = None not in (a.udp, b.udp, a.open, b.open)
    return False if known and (a.steady is False or b.steady is False) else None


def rfc3489_name(
    nat: bool | None, mapping: Mapping | None, filtering: Filtering | None
) -> str | None:
    """Return RFC 3489's name (§5) for a behaviour; None where it has none, or not enough is known.

    RFC 3489 knows four NATs; it cannot tell a symmetric NAT with an open filter from a closed one.
    """
    if nat is None or mapping is None:
        return None
    if not nat:
        return {
            None: None,
            Filtering.ENDPOINT_INDEPENDENT: "Open Internet",
            Filtering.ADDRESS_DEPENDENT: "Symmetric UDP Firewall",
            Filtering.ADDRESS_AND_PORT_DEPENDENT: "Symmetric UDP Firewall",
        }[filtering]
    if mapping is not Mapping.ENDPOINT_INDEPENDENT:
        return "Symmetric"
    return {
        None: None,
        Filtering.ENDPOINT_INDEPENDENT: "Full Cone",
        Filtering.ADDRESS_DEPENDENT: "Restricted Cone",
        Filtering.ADDRESS_AND_PORT_DEPENDENT: "Port Restricted Cone",
    }[filtering]
