"""What a TURN server offers, to whom, and how much of it; a value, replaced whole on a reload."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from natkit.machine import Seconds
from natkit.network import Family
from natkit.stun.server import Site
from natkit.turn.credentials import Credentials
from natkit.turn.policy import PeerPolicy
from natkit.turn.quota import Limits

DEFAULT_LIFETIME: Seconds = 600
"""Granted where a client asks for nothing or less (RFC 8656 §3.2, §7.2): the RFC's own number."""

MAX_LIFETIME: Seconds = 3600
"""Most that is granted at once: an hour, the most that RFC 8656 §7.2 recommends, and what coturn
grants. Longer, and clients that vanish keep their ports."""


@dataclass(frozen=True, slots=True)
class Settings:
    """What the machine needs to know.

    Attributes:
        realm:         names the place that accounts are good for; at most 127 characters.
        credentials:   who may relay.
        nonce_key:     secret that signs nonces and mobility tickets; the same on every worker and
                       every server that clients may be sent on to. At least 16 bytes.
        policy:        which peers may be relayed to.
        limits:        how much.
        families:      IP versions that relayed addresses can have; the first is the default where
                       it is IPv4 (§7.2), and nothing else is granted unasked.
        tcp:           offers RFC 6062.
        mobility:      offers RFC 8016.
        dont_fragment: the data plane can set DF (DONT-FRAGMENT is a 420 otherwise, §7.2).
        max_lifetime:  seconds, DEFAULT_LIFETIME or more.
        nonce_lifetime: seconds for which a nonce is good.
        software:      value of SOFTWARE; empty: none is sent.
        sites:         endpoints on which Binding speaks RFC 5780 over UDP: one an IP version.
        worker:        0 .. 255; tokens, tickets and connection ids begin with a byte that says so
                       (natkit.turn.handover).
        anycast:       IPs that other servers listen on, too, each with this one's own: who wants an
                       allocation there is sent on (RFC 8155 §6), so that no change of routes
                       can bring its packets to another server.
        workers:       how many share the listeners, 1 .. 256; what names another of them is
                       handed over to it (HandOver).
    """

    realm: str
    credentials: Credentials
    nonce_key: bytes
    policy: PeerPolicy
    limits: Limits = field(default_factory=Limits)
    families: tuple[Family, ...] = (Family.IPV4,)
    tcp: bool = True
    mobility: bool = True
    dont_fragment: bool = True
    max_lifetime: Seconds = MAX_LIFETIME
    nonce_lifetime: Seconds = 3600
    software: str = ""
    sites: tuple[Site, ...] = ()
    anycast: Mapping[str, str] = field(default_factory=dict)
    worker: int = 0
    workers: int = 1
