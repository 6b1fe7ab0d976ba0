"""What a probe measures only when asked: hairpinning, binding lifetime, fragments.

Hairpinning sends packets to one's own external address, which some firewalls take for an attack;
the lifetime takes minutes; fragments are large. Silence counts here as it does everywhere: only
against control tries on the same path.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import TypeVar

from natkit.machine import Seconds
from natkit.nat.asker import Pace, Question, Strayed
from natkit.nat.behaviour import Filtering, Mapping, Measured
from natkit.nat.discovery import Findings
from natkit.nat.silence import Tally, is_convincing
from natkit.network import Family, Network
from natkit.tools.sockets import Randomness, Socket, Sockets
from natkit.wire import TransportAddress

T = TypeVar("T")

PACE = Pace(0.05, 100)
LOOK_PACE = Pace(0.02, 200)
"""A look at an idle mapping is over quickly, so that the mapping is as old as it says."""
KEEP_ALIVE = Pace(0.25, 1000)
"""Outlasts the ladder, and every lifetime that was ever seen."""
PATIENCE: Seconds = 4.0
"""Seconds to wait for a single finding before it is inconclusive."""

LADDER: tuple[Seconds, ...] = (1, 2, 3, 5, 10, 15, 20, 25, 30, 45, 60, 90, 120, 150, 180)
"""Ages at which a mapping is looked for. RFC 4787 REQ-5 wants 120 s at least; Linux has 30 and
120 s, carriers' NATs a few ten seconds; the first rungs catch the worst that was seen."""

FRAGMENTED = 1800
"""Bytes of PADDING that no Ethernet path carries in one packet (its MTU is 1500)."""
UNFRAGMENTED = 400
"""Bytes of PADDING that every path carries in one packet (IPv4 hosts take 576, RFC 791 §3.1)."""


@dataclass(frozen=True, slots=True)
class Lifetime:
    """How long an idle mapping lives.

    Attributes:
        alive_after: seconds after which it was still there, 0 for none.
        gone_after:  seconds by which it was gone; None: there to the last look.
    """

    alive_after: Seconds
    gone_after: Seconds | None

    def __str__(self) -> str:
        if self.gone_after is None:
            return f"at least {self.alive_after:g} s"
        return f"{self.alive_after:g} to {self.gone_after:g} s"


@dataclass(frozen=True, slots=True)
class Extras:
    """The opt-in findings of one IP version."""

    hairpinning: Measured[bool]
    lifetime: Measured[Lifetime]
    fragments: Measured[bool]


async def measure_extras(
    network: Network,
    findings: Findings,
    *,
    family: Family,
    interface: str | None,
    hairpin: bool,
    lifetime: bool,
    fragments: bool,
    randomness: Randomness,
) -> Extras:
    """Measure what was asked for, side by side; the rest is "not measured"."""
    lab = _Lab(network, findings, family, interface, randomness)
    return Extras(
        *await asyncio.gather(
            lab.measure("--hairpin", lab.hairpinning, wanted=hairpin),
            lab.measure("--lifetime", lab.lifetime, wanted=lifetime),
            lab.measure("--fragments", lab.fragments, wanted=fragments),
        )
    )


@dataclass(frozen=True, slots=True)
class _Lab:
    network: Network
    findings: Findings
    family: Family
    interface: str | None
    randomness: Randomness

    async def measure(
        self,
        option: str,
        how: Callable[[Sockets], Awaitable[Measured[T]]],
        *,
        wanted: bool,
    ) -> Measured[T]:
        if not wanted:
            return Measured.not_measured(f"needs {option}")
        if not self.findings.reachable:
            return Measured.not_measured("no server answered over UDP")
        async with Sockets(self.network, self.family, self.interface, self.randomness) as sockets:
            return await how(sockets)

    @property
    def _any_server(self) -> TransportAddress:
        return self.findings.mapped[0][0]

    # -- hairpinning (RFC 4787 §6, RFC 5780 §3.4) ------------------------------------------------

    async def hairpinning(self, sockets: Sockets) -> Measured[bool]:
        """Two sockets of this host send to each other's external address.

        A NAT that turns packets back with their internal source fails this, too: a host drops
        what seems to come from itself. RFC 4787 REQ-9 wants the external source.
        """
        if self.findings.nat.value is False:
            return Measured.not_measured("there is no NAT to turn packets back")
        a = await sockets.mapped(self._any_server, patience=PATIENCE)
        b = await sockets.mapped(self._any_server, patience=PATIENCE)
        if a is None or b is None:
            return Measured.inconclusive("the server did not answer")
        control = Question.plain(self._any_server)
        to_a, to_b = (Question.plain(_seen_by(self._any_server, socket)) for socket in (a, b))
        for socket, question in ((a, to_b), (b, to_a)):
            socket.ask(question, PACE)
            socket.ask(control, PACE)

        def heard() -> bool:
            return bool(a.all_heard_from(b) or b.all_heard_from(a))

        def silent() -> bool:
            asked = sockets.tally((a, to_b), (b, to_a)).asked
            return is_convincing(asked, sockets.tally((a, control), (b, control)))

        await sockets.until(lambda: heard() or silent(), patience=PATIENCE)
        return self._judge_hairpin(
            (a.all_heard_from(b) + b.all_heard_from(a))[:1], silent(), (a, b)
        )

    def _judge_hairpin(
        self, came: list[Strayed], silent: bool, pair: tuple[Socket, Socket]
    ) -> Measured[bool]:
        external = ", ".join(str(_seen_by(self._any_server, socket)) for socket in pair)
        for stray in came:
            known = {_seen_by(self._any_server, socket) for socket in pair}
            kind = "external" if stray.source in known else "internal"
            return Measured.found(
                True,
                f"a packet to our own external address came back, from the {kind} address",
                f"sent between {external}; it came from {stray.source}",
            )
        reason = "nothing sent to our own external address came back with an external source"
        evidence = f"sent between {external}, while the server's answers came through"
        found = self.findings
        admitted = (
            found.mapping.value is Mapping.ENDPOINT_INDEPENDENT
            or found.filtering.value is Filtering.ENDPOINT_INDEPENDENT
        )
        if silent and admitted:
            return Measured.found(False, reason, evidence)
        return Measured.inconclusive(
            f"{reason}, but the NAT may have filtered it instead", evidence
        )

    # -- binding lifetime (RFC 5780 §4.6) --------------------------------------------------------

    async def lifetime(self, sockets: Sockets) -> Measured[Lifetime]:
        """Leave a mapping alone for a while, then have the server send to it.

        Each age has a socket of its own, all started at once, so that looking at one mapping does
        not keep another alive.
        """
        server = self.findings.server
        if server is None:
            return Measured.not_measured("needs an RFC 5780 server (RESPONSE-PORT)")
        kept, *rungs = await asyncio.gather(
            *(sockets.mapped(server.primary, patience=PATIENCE) for _ in (None, *LADDER))
        )
        if kept is None:
            return Measured.inconclusive("the server did not answer")
        kept.ask(Question.plain(server.primary), KEEP_ALIVE)
        alive_after: Seconds = 0.0
        evidence: list[str] = []
        for age, rung in zip(LADDER, rungs, strict=True):
            if rung is None:
                continue
            idle_since = rung.probe.asker.last_asked_at
            await self.network.sleep(max(0.0, idle_since + age - self.network.now()))
            looked_at = self.network.now() - idle_since
            alive, line = await _look(sockets, server.primary, rung, kept)
            evidence.append(f"after {looked_at:.1f} s: {line}")
            if alive is None:
                return Measured.inconclusive(line, *evidence)
            if not alive:
                gone_after = self.network.now() - idle_since
                return _lifetime(Lifetime(alive_after, round(gone_after, 1)), evidence)
            alive_after = round(looked_at, 1)
        return _lifetime(Lifetime(alive_after, None), evidence)

    # -- fragments (RFC 5780 §7.6) -------------------------------------------------------------

    async def fragments(self, sockets: Sockets) -> Measured[bool]:
        """Send requests too large for one packet, and ask for answers as large."""
        server = self.findings.server
        if server is None:
            return Measured.not_measured("needs an RFC 5780 server (PADDING)")
        socket, target = await sockets.open(), server.primary
        large = Question(target, target, padding=FRAGMENTED)
        small = Question(target, target, padding=UNFRAGMENTED)
        socket.ask(large, PACE)
        socket.ask(small, PACE)

        def settled() -> bool:
            refused = bool(socket.probe.refused)
            return refused or socket.probe.answered(large) or silent()

        def silent() -> bool:
            asked = sockets.tally((socket, large)).asked
            return is_convincing(asked, sockets.tally((socket, small)))

        await sockets.until(settled, patience=PATIENCE)
        if socket.probe.answered(large):
            return Measured.found(True, f"{FRAGMENTED} bytes went there and came back")
        for refusal in socket.probe.refused.values():
            return Measured.not_measured(f"the server refuses: {refusal.code} {refusal.reason}")
        if silent():
            return Measured.found(
                False, f"{FRAGMENTED} bytes got lost, while {UNFRAGMENTED} came through"
            )
        return Measured.inconclusive("the server does not answer requests with PADDING")


async def _look(
    sockets: Sockets, server: TransportAddress, idle: Socket, kept: Socket
) -> tuple[bool | None, str]:
    """Have the server send to an idle mapping, and to one that is kept alive.

    Returns: whether the idle one still led here, None if that stays open; and the words for it.
    """
    asker, plain = await sockets.open(), Question.plain(server)
    old, control = (_seen_by(server, socket) for socket in (idle, kept))
    to_old, to_kept = (
        Question(server, server, response_port=mapped.port) for mapped in (old, control)
    )
    for question in (plain, to_old, to_kept):
        asker.ask(question, LOOK_PACE)

    def silent() -> bool:
        asked = sockets.tally((asker, to_kept)).asked
        controls = Tally(asked, min(asked, len(kept.all_heard_from(asker))))
        return is_convincing(sockets.tally((asker, to_old)).asked, controls)

    def came() -> bool:
        return bool(idle.all_heard_from(asker))

    await sockets.until(lambda: came() or silent(), patience=PATIENCE)
    asker.probe.asker.stop_all()
    if came():
        return True, f"{old} still led here"
    own = asker.probe.mapped(server)
    if own is None or len({own.ip, old.ip, control.ip}) > 1:
        return None, "RESPONSE-PORT cannot reach a mapping on another external address"
    if silent():
        return False, f"{old} no longer led here, while {control}, kept alive, did"
    return None, "the server did not send to the port it was asked to (RESPONSE-PORT)"


def _seen_by(server: TransportAddress, socket: Socket) -> TransportAddress:
    mapped = socket.probe.mapped(server)
    if mapped is None:
        raise RuntimeError("asked for the external address of a socket that has none")
    return mapped


def _lifetime(found: Lifetime, evidence: list[str]) -> Measured[Lifetime]:
    if found.gone_after is None:
        reason = f"an idle mapping was still there after {found.alive_after:g} s"
    else:
        reason = f"an idle mapping was gone by {found.gone_after:g} s"
    return Measured.found(found, reason, *evidence)
