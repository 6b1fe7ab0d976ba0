"""Mapping behaviour: does the same socket look the same from everywhere? (RFC 5780 §4.3)

Every sample is a fresh socket that asks each target: both addresses and both ports of an RFC 5780
server, and plain servers besides. One sample can lie: another host behind the same NAT may hold
the port towards one target only, and a small pool of addresses repeats itself. So three samples
have to agree, and where they do not, or where a pool shows, twelve are taken.
"""

from __future__ import annotations

from dataclasses import dataclass

from natkit.machine import Instant
from natkit.nat.asker import Pace, Question
from natkit.nat.behaviour import Mapping, Measured
from natkit.nat.silence import is_convincing
from natkit.nat.sockets import SLOW_ADDRESS, ProbeSocket, Workbench
from natkit.wire import TransportAddress

SAMPLES = 3
"""Sockets that have to agree. By chance alone, a symmetric NAT with a pool of four addresses that
keeps the port looks independent to four targets once in 64; to three sockets once in 260,000."""

MORE_SAMPLES = 12
"""Sockets to ask where three do not settle it. Where one port in five collides with another host's,
half of twelve look independent all the same, but for 4 cases in 1000, which stay inconclusive."""

PACE = Pace(0.06, 100)
"""Answers are expected, and a target that answered is left alone, so tries may come fast."""


@dataclass(frozen=True, slots=True)
class Sample:
    """How the targets saw one socket.

    Attributes:
        local:  the socket's own address, where known.
        mapped: target -> every mapped address it reported, in order.
    """

    local: TransportAddress | None
    mapped: dict[TransportAddress, tuple[TransportAddress, ...]]

    @property
    def is_stable(self) -> bool:
        """True when no target saw the socket change."""
        return all(len(set(seen)) == 1 for seen in self.mapped.values())

    def classify(self) -> Mapping | None:
        """Say what this sample alone shows; None: too few targets answered to tell.

        RFC: 5780 §4.3, with the fourth target (first address, second port) that it leaves out.
        """
        first = {target: seen[0] for target, seen in self.mapped.items()}
        if len({target.ip for target in first}) < 2:
            return None
        if len(set(first.values())) == 1:
            return Mapping.ENDPOINT_INDEPENDENT
        by_ip: dict[str, list[TransportAddress]] = {}
        for target, mapped in first.items():
            by_ip.setdefault(target.ip, []).append(mapped)
        twice = [seen for seen in by_ip.values() if len(seen) > 1]
        if any(len(set(seen)) > 1 for seen in twice):
            return Mapping.ADDRESS_AND_PORT_DEPENDENT
        return Mapping.ADDRESS_DEPENDENT if twice else None

    @property
    def depends(self) -> bool:
        """True when two targets saw the socket differently."""
        return len({seen[0] for seen in self.mapped.values()}) > 1

    def describe(self) -> str:
        """Return one line of evidence."""
        who = f"local port {self.local.port}" if self.local is not None else "a socket"
        if len(self.mapped) > 1 and not self.depends and self.is_stable:
            seen = next(iter(self.mapped.values()))[0]
            return f"{who} is {seen} to all of {', '.join(map(str, self.mapped))}"
        views = (
            f"{' then '.join(map(str, dict.fromkeys(seen)))} to {target}"
            for target, seen in self.mapped.items()
        )
        return f"{who} is {', '.join(views)}"


def judge(samples: list[Sample], *, pooled: bool = False) -> Measured[Mapping]:
    """Decide what the samples show together.

    Args: pooled: other sockets of this host were seen under several external addresses.

    The two sides are not alike. A socket of a NAT that depends on the destination practically
    never looks independent; one of an independent NAT looks dependent whenever its port collides.
    So half of the sockets suffice for "independent", and "dependent" admits one exception in six.
    Where a pool of addresses is seen, agreement by chance is likelier: three quarters, and one in
    four.
    """
    evidence = tuple(sample.describe() for sample in samples)
    classes = [c for c in (s.classify() for s in samples if s.is_stable) if c is not None]
    if not classes:
        return _unsettled(samples, evidence)
    independent = classes.count(Mapping.ENDPOINT_INDEPENDENT)
    by_address = classes.count(Mapping.ADDRESS_DEPENDENT)
    by_port = classes.count(Mapping.ADDRESS_AND_PORT_DEPENDENT)
    enough, exceptions = (3, 4) if pooled or has_pool(samples) else (2, 6)
    if len(classes) < SAMPLES:
        return Measured.inconclusive(f"only {len(classes)} sockets were answered", *evidence)
    if independent * 4 >= len(samples) * enough:
        return _found(Mapping.ENDPOINT_INDEPENDENT, independent, evidence)
    if independent * exceptions <= len(samples) < 2 * (by_address + by_port):
        if by_address * 4 >= (by_address + by_port) * 3:
            return _found(Mapping.ADDRESS_DEPENDENT, by_address, evidence)
        if by_port > by_address:
            return _found(Mapping.ADDRESS_AND_PORT_DEPENDENT, by_port, evidence)
    return Measured.inconclusive(
        f"of {len(samples)} sockets, {independent} look independent of the destination, "
        f"{by_address} dependent on its address, {by_port} on its address and port",
        *evidence,
    )


def _found(value: Mapping, agreeing: int, evidence: tuple[str, ...]) -> Measured[Mapping]:
    return Measured.found(value, f"{agreeing} of {len(evidence)} sockets agree", *evidence)


def has_pool(samples: list[Sample]) -> bool:
    """True when this host was seen under several external addresses."""
    return len({mapped.ip for s in samples for seen in s.mapped.values() for mapped in seen}) > 1


def _unsettled(samples: list[Sample], evidence: tuple[str, ...]) -> Measured[Mapping]:
    if any(not sample.is_stable for sample in samples):
        return Measured.inconclusive("the mapping changed while it was looked at", *evidence)
    if any(sample.depends for sample in samples):
        return Measured.inconclusive(
            "it depends on the destination; telling address from address and port needs a server "
            "that answers on two ports",
            *evidence,
        )
    return Measured.not_measured("needs answers from two different server addresses", *evidence)


class MappingTest:
    """Opens sample sockets until they settle the question.

    Args:
        targets: the addresses to ask, the first one being the server known to answer.
    """

    def __init__(
        self, bench: Workbench, targets: tuple[TransportAddress, ...], *, now: Instant
    ) -> None:
        self._bench = bench
        self._targets = targets
        self._sockets: list[ProbeSocket] = []
        self._silent: set[TransportAddress] = set()
        self._depends = False
        self.result: Measured[Mapping] | None = None
        if len({target.ip for target in targets}) < 2:
            self.result = Measured.not_measured("needs two different server addresses")
        else:
            self._grow(SAMPLES, now)

    @property
    def value(self) -> Mapping | None:
        """The finding, where there is one already."""
        return self.result.value if self.result is not None else None

    @property
    def silent(self) -> frozenset[TransportAddress]:
        """Targets that gave no answer while the first one did."""
        return frozenset(self._silent)

    @property
    def depends(self) -> bool:
        """True when most sockets looked different to different targets."""
        return self._depends

    def review(self, *, now: Instant) -> None:
        """Look at what came in; settle, or ask more."""
        if self.result is not None:
            return
        self._give_up_on_silent(now)
        wanted = [t for t in self._targets if t not in self._silent]
        complete = [s for s in self._sockets if self._is_complete(s, wanted)]
        if len(complete) < len(self._sockets):
            return
        samples = [self._sample(s) for s in self._sockets]
        if len(self._sockets) < MORE_SAMPLES and self._is_doubtful(samples):
            self._grow(MORE_SAMPLES, now)
        else:
            self._finish(samples)

    def close(self) -> None:
        """Decide with what there is: time is up."""
        if self.result is None:
            samples = [self._sample(s) for s in self._sockets]
            self._finish([s for s in samples if s.mapped])

    def _grow(self, size: int, now: Instant) -> None:
        while len(self._sockets) < size:
            socket = self._bench.open(f"mapping {len(self._sockets) + 1}")
            # Each socket starts elsewhere: some pools choose an address by the first destination.
            start = len(self._sockets) % len(self._targets)
            self._sockets.append(socket)
            for target in (*self._targets[start:], *self._targets[:start]):
                if target not in self._silent:
                    socket.ask(Question.plain(target), PACE, now=now)

    def _is_complete(self, socket: ProbeSocket, wanted: list[TransportAddress]) -> bool:
        missing = [t for t in wanted if not socket.answered(Question.plain(t))]
        for target in wanted[1:]:
            if target not in missing:
                socket.stop(Question.plain(target))
        if not missing:
            socket.stop(Question.plain(wanted[0]))
        return not missing

    def _give_up_on_silent(self, now: Instant) -> None:
        """Drop targets whose silence cannot be loss: the first target is the control."""
        controls = self._bench.tally(self._sockets, [Question.plain(self._targets[0])], now=now)
        for target in self._targets[1:]:
            question = Question.plain(target)
            # An address may be that much slower than the first one.
            asked = self._bench.tally(self._sockets, [question], now=now - SLOW_ADDRESS).asked
            heard = any(socket.answered(question) for socket in self._sockets)
            if not heard and is_convincing(asked, controls):
                self._silent.add(target)
                for socket in self._sockets:
                    socket.stop(question)

    def _sample(self, socket: ProbeSocket) -> Sample:
        seen = {
            t: tuple(a.mapped for a in socket.answers[Question.plain(t)])
            for t in self._targets
            if socket.answered(Question.plain(t))
        }
        return Sample(socket.local, seen)

    def _finish(self, samples: list[Sample]) -> None:
        for socket in self._sockets:
            for target in self._targets:
                socket.stop(Question.plain(target))
        self._depends = sum(s.depends for s in samples) * 2 > len(samples)
        self.result = judge(samples, pooled=self._is_pooled)

    @property
    def _is_pooled(self) -> bool:
        return len(self._bench.external_ips()) > 1

    def _is_doubtful(self, samples: list[Sample]) -> bool:
        disagree = len({s.classify() for s in samples}) > 1
        return disagree or self._is_pooled or not all(s.is_stable for s in samples)
