"""A port mapping on a gateway, made by PCP or NAT-PMP, kept alive, and deleted again.

    begin -> asking PCP -> [asking NAT-PMP] -> held <-> renewing -> lost
    any of these -> delete -> deleting -> deleted

Rules of the file:
1. PCP is asked first. NAT-PMP is where the gateway offers it, or says nothing at all (RFC 6887 §9).
2. What may have been made is deleted, also where no answer came.
3. It is renewed at half of its lifetime, and then after half of what is left (RFC 6887 §11.2.1).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, TypeAlias

from natkit.machine import Instant, Seconds, Transmit, soonest
from natkit.network import IcmpError
from natkit.portmap import natpmp, pcp
from natkit.portmap.client import (
    Answered,
    Backoff,
    GatewayClient,
    Outcome,
    Randomness,
    Refused,
    Unanswered,
)
from natkit.portmap.natpmp import ExternalAddress, MapPort, PortMapped
from natkit.portmap.pcp import Protocol, VersionRefused
from natkit.wire import TransportAddress

LIFETIME = 600
"""Seconds asked for: what a program that dies leaves behind is open no longer."""

SHORTEST_RETRY: Seconds = 4.0
"""Between two attempts to renew (RFC 6887 §11.2.1)."""


@dataclass(frozen=True, slots=True)
class Granted:
    """The gateway sends on to us what comes to `external`; said once, not at each renewal."""

    external: TransportAddress
    protocol: str


@dataclass(frozen=True, slots=True)
class NotGranted:
    """There will be no mapping."""

    why: str


@dataclass(frozen=True, slots=True)
class Lost:
    """There was a mapping, and it was not renewed, or is another one now."""

    why: str


@dataclass(frozen=True, slots=True)
class Deleted:
    """`delete` is done.

    Attributes: confirmed: by the gateway; else the mapping goes by itself.
    """

    confirmed: bool


LeaseEvent: TypeAlias = Granted | NotGranted | Lost | Deleted


class Lease:
    """The machine, for the socket that gateways are asked from (not the one that is mapped).

    Args:
        gateway:  IP of the router, on our link.
        own:      our IP there, which the mapping leads to.
        port:     on `own`.
        patience: seconds for each question.
    """

    def __init__(
        self,
        gateway: str,
        own: str,
        port: int,
        *,
        protocol: Protocol = Protocol.UDP,
        patience: Seconds,
        randomness: Randomness,
    ) -> None:
        self._own, self._port, self._protocol = own, port, protocol
        self._nonce = randomness(pcp.NONCE_SIZE)
        self._client: GatewayClient[Any] = GatewayClient(
            TransportAddress(gateway, pcp.PORT),
            backoff=Backoff.within(patience),
            randomness=randomness,
        )
        self._speaks_pcp = True
        self._external_ip: str | None = None
        self._external: TransportAddress | None = None
        self._renew_at: Instant | None = None
        self._expires_at: Instant = 0.0
        self._deleting = self._over = False
        self._events: list[LeaseEvent] = []

    # Commands.

    def begin(self, *, now: Instant) -> None:
        """Ask for the mapping. `Granted` or `NotGranted` follows."""
        self._ask(LIFETIME, now)

    def delete(self, *, now: Instant) -> None:
        """Delete the mapping, or what may have become one. `Deleted` follows."""
        self._deleting, self._renew_at = True, None
        if self._over:
            self._events.append(Deleted(confirmed=True))
        else:
            self._ask(0, now)

    # The contract.

    def receive(self, data: bytes, source: TransportAddress, *, now: Instant) -> None:
        """Take a datagram."""
        self._client.receive(data, source, now=now)
        self._listen(now)

    def error_received(self, error: IcmpError, *, now: Instant) -> None:
        """Take an ICMP error."""
        self._client.error_received(error)
        self._listen(now)

    def tick(self, *, now: Instant) -> None:
        """Ask again, give up, renew."""
        self._client.tick(now=now)
        if self._renew_at is not None and self._renew_at <= now:
            self._renew_at = None
            self._ask(LIFETIME, now)
        self._listen(now)

    def deadline(self) -> Instant | None:
        """Return when to call `tick`."""
        return soonest((self._client.deadline(), self._renew_at))

    def transmits(self) -> list[Transmit]:
        """Hand over what is to be sent."""
        return self._client.transmits()

    def events(self) -> list[LeaseEvent]:
        """Hand over what has happened."""
        out, self._events = self._events, []
        return out

    # Within.

    def _ask(self, lifetime: int, now: Instant) -> None:
        external = self._external or pcp.ANY_IPV4
        if self._speaks_pcp:
            mapping = pcp.Mapping(self._nonce, self._protocol, self._port, external)
            self._client.ask(pcp.Map(self._own, lifetime, mapping), now=now)
        elif self._external_ip is None and lifetime:
            self._client.ask(natpmp.AskExternalAddress(), now=now)
        else:
            wished = (external.port or self._port) if lifetime else 0  # RFC 6886 §3.4
            self._client.ask(MapPort(self._protocol, self._port, wished, lifetime), now=now)

    def _listen(self, now: Instant) -> None:
        for outcome in self._client.events():
            if self._deleting:
                self._over = True
                self._events.append(Deleted(confirmed=_result(outcome) == 0))
            else:
                self._heard(outcome, now)

    def _heard(self, outcome: Outcome[Any], now: Instant) -> None:
        match outcome:
            case Answered(reply=pcp.Reply(result=0, mapping=pcp.Mapping() as made) as reply):
                self._made(made.external, reply.lifetime, now)
            case Answered(reply=ExternalAddress(ip=str() as ip)):
                self._external_ip = ip
                self._ask(LIFETIME, now)
            case Answered(reply=PortMapped(result=0, external_port=port, lifetime=lifetime)):
                self._made(TransportAddress(self._external_ip or "", port), lifetime, now)
            case Answered(reply=VersionRefused()) | Unanswered() if self._may_fall_back:
                self._speaks_pcp = False
                self._ask(LIFETIME, now)
            case _:
                self._refused(outcome, now)

    @property
    def _may_fall_back(self) -> bool:
        return self._speaks_pcp and self._external is None

    @property
    def _name(self) -> str:
        return "PCP" if self._speaks_pcp else "NAT-PMP"

    def _made(self, external: TransportAddress, lifetime: Seconds, now: Instant) -> None:
        self._expires_at = now + lifetime
        self._renew_at = now + max(lifetime / 2, SHORTEST_RETRY)
        if self._external is None:
            self._external = external
            self._events.append(Granted(external, self._name))
        elif external != self._external:
            why = f"the gateway has {external} for it now, which was {self._external}"
            self._external, self._renew_at = external, None
            self._events.append(Lost(why))

    def _refused(self, outcome: Outcome[Any], now: Instant) -> None:
        why = self._words(outcome)
        if self._external is None:
            self._over = not isinstance(outcome, Unanswered)
            self._events.append(NotGranted(why))
        elif now + SHORTEST_RETRY < self._expires_at:
            self._renew_at = now + max((self._expires_at - now) / 2, SHORTEST_RETRY)
        else:
            self._events.append(Lost(why))

    def _words(self, outcome: Outcome[Any]) -> str:
        match outcome:
            case Answered(reply=pcp.Reply(result=code)):
                return f"PCP answered {pcp.result_name(code)}"
            case Answered(reply=PortMapped(result=code) | ExternalAddress(result=code)):
                return f"NAT-PMP answered {natpmp.result_name(code)}"
            case Answered(reply=VersionRefused(offered=version)):
                return f"it speaks neither PCP nor NAT-PMP, but version {version}"
            case Refused():
                return "it speaks neither PCP nor NAT-PMP (ICMP port unreachable)"
            case _:
                return f"{self._name} was not answered"


def _result(outcome: Outcome[Any]) -> int | None:
    """Return the result code of an answer; None: there was no answer."""
    match outcome:
        case Answered(reply=pcp.Reply(result=code) | PortMapped(result=code)):
            return int(code)
    return None
