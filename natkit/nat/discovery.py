"""The plan of a probe for one IP version: what to ask next, and what the answers come to.

    survey ──▶ mapping and filtering side by side ──▶ done
       │          ▲ the server turned out unfit: │        ▲
       │          └───── with the next one ──────┘        │
       └────── nobody answered in time ───────────────────┘

A discovery owns sockets (machines of natkit.nat.asker) but never opens one: the tool that drives
it opens what `unopened` hands over and returns every observation. Rule of the file: until `is_done`
the survey's socket goes on asking, so observations keep coming and no timer is needed here.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from natkit.machine import Instant, Seconds
from natkit.nat.asker import Answered, Observation
from natkit.nat.behaviour import Filtering, Mapping, Measured, Status
from natkit.nat.filtering import FilteringTest, Rfc5780Server
from natkit.nat.mapping import MappingTest
from natkit.nat.ports import (
    Allocation,
    Mapped,
    Pooling,
    judge_allocation,
    judge_pooling,
    judge_preservation,
)
from natkit.nat.sockets import ProbeSocket, Workbench
from natkit.nat.survey import ServerReport, SourceOf, Survey
from natkit.network import IcmpError
from natkit.wire import TransportAddress

REVIEW_INTERVAL: Seconds = 0.005
"""Observations come in bursts; looking at all of them once costs less and decides the same."""

SILENCE_LIMIT: Seconds = 3.0
"""How long the survey waits for a first answer: 30 tries to every server, so that at 30 % loss
each way all of them are lost once in 10**8 probes. tailscale's netcheck stops here, too."""


@dataclass(frozen=True, slots=True)
class Findings:
    """Everything a discovery found out about one IP version.

    Attributes:
        reachable: True when at least one server answered over UDP.
        udp_passes: True when a server answered, or its host said that nobody listens (ICMP).
        local:     the address that packets leave from, and a port that was used.
        mapped:    (server, mapped address) of the survey's socket.
        nat:       whether something between here and the servers translates addresses.
        depends:   most sockets looked different to different servers, whatever `mapping` could
                   make of it.
        rewrites_payload: an ALG changed MAPPED-ADDRESS on its way (RFC 5780 §3.6).
        all_external: every external IP that any socket had.
        server:    the RFC 5780 server that was used; None: there was none.
    """

    reachable: bool
    udp_passes: bool
    local: TransportAddress | None
    mapped: tuple[tuple[TransportAddress, TransportAddress], ...]
    nat: Measured[bool]
    mapping: Measured[Mapping]
    depends: bool
    filtering: Measured[Filtering]
    port_preservation: Measured[bool]
    port_allocation: Measured[Allocation]
    pooling: Measured[Pooling]
    rewrites_payload: Measured[bool]
    server: Rfc5780Server | None
    servers: tuple[ServerReport, ...]
    all_external: tuple[str, ...]


class Discovery:
    """The plan, to be driven:

        while not discovery.is_done:
            open what discovery.unopened() returns, with a driver each
            pass what their machines observe to discovery.observe(...)

    Args:
        servers:        (name, address) of one IP version, in order of preference.
        source_of:      returns the local IP that packets to an address leave from, where known.
        transaction_id: returns 12 unpredictable bytes at every call.
        budget:         seconds after which it decides with what it has.
    """

    def __init__(
        self,
        servers: tuple[tuple[str, TransportAddress], ...],
        *,
        source_of: SourceOf,
        transaction_id: Callable[[], bytes],
        budget: Seconds,
        now: Instant,
    ) -> None:
        self._bench = Workbench(transaction_id)
        self._source_of = source_of
        self._ends_at = now + budget
        self._speaks_by = now + min(budget, SILENCE_LIMIT)
        self._reviewed_at = now
        self._survey = Survey(self._bench, servers, source_of=source_of, now=now)
        self._mapping: MappingTest | None = None
        self._filtering: FilteringTest | None = None
        self._server: Rfc5780Server | None = None
        self._tried: list[Rfc5780Server | None] = []
        self.is_done = False

    def unopened(self) -> list[ProbeSocket]:
        """Hand over the sockets to open, once each."""
        return self._bench.unopened()

    def observe(self, socket: ProbeSocket, observation: Observation, *, now: Instant) -> bool:
        """Take what a socket's machine observed, and go on with the plan when it is time to.

        Returns: True when it went on: any socket's machine may have something to send.
        """
        self._bench.take(socket, observation)
        if now < self._reviewed_at + REVIEW_INTERVAL or self.is_done:
            return False
        self._reviewed_at = now
        self._review(now)
        return True

    def refuse(self, socket: ProbeSocket, error: IcmpError) -> None:
        """Take an ICMP error; what counts is a port unreachable by the destination itself.

        It proves that UDP gets there and back, though nobody listens (RFC 792, RFC 4443 §3.1).
        """
        destination = error.destination
        if destination is None or error.reporter != destination.ip:
            return
        if (destination.is_ipv6, error.kind, error.code) in ((False, 3, 3), (True, 1, 4)):
            socket.closed_ports.add(destination)

    def _review(self, now: Instant) -> None:
        if self._mapping is None:
            self._survey.review(now=now)
            if self._survey.is_done:
                self._start_tests(now)
        if self._mapping is not None:
            self._mapping.review(now=now)
            if self._filtering is not None:
                self._filtering.review(now=now)
            self._try_another_server(now)
        mute = not self._survey.answers and now >= self._speaks_by
        silent = self._mapping is None and (mute or self._survey.is_hopeless)
        if silent or now >= self._ends_at or self._is_settled(now):
            self._finish(now)

    def _start_tests(self, now: Instant) -> None:
        self._use(next(iter(self._survey.full_servers()), None), now)

    def _use(self, server: Rfc5780Server | None, now: Instant) -> None:
        """Test with that server; None: with what plain servers can tell.

        A mapping that is known already stays known.
        """
        self._tried.append(server)
        if self._mapping is None or self._mapping.value is None:
            self._mapping = MappingTest(self._bench, self._survey.targets(server), now=now)
        if server is not None:
            self._server = server
            self._survey.settle_on(server.primary, now=now)
            self._filtering = FilteringTest(self._bench, server, now=now)

    def _try_another_server(self, now: Instant) -> None:
        """Go on with the next server where there was none, or it did not keep what it announced."""
        if self._filtering is not None and not self._is_unfit():
            return
        untried = [s for s in self._survey.full_servers() if s not in self._tried]
        if untried:
            self._use(untried[0], now)
        elif None not in self._tried and self._plain_servers_could_tell_more():
            self._use(None, now)

    def _is_unfit(self) -> bool:
        result = self._filtering.result if self._filtering is not None else None
        return result is not None and result.status is Status.NOT_MEASURED

    def _plain_servers_could_tell_more(self) -> bool:
        result = self._mapping.result if self._mapping is not None else None
        several = len({target.ip for target in self._survey.targets(None)}) > 1
        return result is not None and result.value is None and several

    def _is_settled(self, now: Instant) -> bool:
        if self._mapping is None or self._mapping.result is None:
            return False
        if self._filtering is None or self._is_unfit():
            return self._survey.is_exhausted(now=now)
        return self._filtering.result is not None

    def _finish(self, now: Instant) -> None:
        if self._mapping is not None:
            self._mapping.close()
        if self._filtering is not None:
            self._filtering.close(now=now)
        for socket in self._bench.sockets:
            socket.asker.stop_all()
        self.is_done = True

    # -- what it came to ----------------------------------------------------------------------

    def findings(self) -> Findings:
        """Sum up. Call it once `is_done`."""
        answers = self._survey.answers
        mappings = self._mappings()
        return Findings(
            reachable=bool(answers),
            udp_passes=bool(answers or self._survey.closed_ports),
            local=self._local(),
            mapped=tuple((address, a.mapped) for address, a in self._survey.outside.items()),
            nat=self._judge_nat(mappings),
            mapping=self._mapping_result(),
            depends=self._mapping is not None and self._mapping.depends,
            filtering=self._filtering_result(),
            port_preservation=judge_preservation(mappings),
            port_allocation=judge_allocation(mappings),
            pooling=judge_pooling(mappings),
            rewrites_payload=_judge_alg(list(answers.values())),
            server=self._server,
            servers=self._survey.report(),
            all_external=tuple(sorted({m.external.ip for m in mappings})),
        )

    def _source(self) -> str | None:
        """Return the local IP of the uplink that was measured."""
        return next((self._source_of(server) for server in self._survey.outside), None)

    def _local(self) -> TransportAddress | None:
        source, socket = self._source(), self._survey.socket
        if source is None or socket.local is None:
            return None
        return TransportAddress(source, socket.local.port)

    def _mappings(self) -> list[Mapped]:
        """Return what servers saw, but for those inside, or reached over another uplink."""
        source = self._source()
        inside = self._survey.answers.keys() - self._survey.outside.keys()
        return [
            Mapped(
                socket.local.port,
                answer.mapped,
                socket.asker.first_asked_at(question),
                answer.asked_at,
            )
            for socket in self._bench.sockets
            if socket.local is not None
            for question, answer in socket.all_mapped()
            if question.destination not in inside
            and self._source_of(question.destination) == source
        ]

    def _judge_nat(self, mappings: list[Mapped]) -> Measured[bool]:
        source = self._source()
        if not mappings:
            return Measured.not_measured("no server answered over UDP")
        if source is None:
            return Measured.not_measured("this machine does not tell its own address")
        if all(m.external == TransportAddress(source, m.local_port) for m in mappings):
            return Measured.found(False, f"the servers see {source} itself")
        seen = sorted({m.external.ip for m in mappings})
        return Measured.found(True, f"the servers see {', '.join(seen)}, not {source}")

    def _mapping_result(self) -> Measured[Mapping]:
        if self._mapping is None or self._mapping.result is None:
            return Measured.not_measured("no server answered over UDP")
        result = self._mapping.result
        if self._mapping.silent and result.value is None:
            silent = ", ".join(map(str, sorted(self._mapping.silent)))
            return Measured.not_measured(
                f"the server announces addresses that do not answer: {silent}", *result.evidence
            )
        return result

    def _filtering_result(self) -> Measured[Filtering]:
        if self._filtering is not None and self._filtering.result is not None:
            return self._filtering.result
        if not self._survey.answers:
            return Measured.not_measured("no server answered over UDP")
        notes = [r.note for r in self._survey.report() if r.round_trip is not None and r.note]
        return Measured.not_measured("; ".join(dict.fromkeys(notes)) or "no RFC 5780 server")


def _judge_alg(answers: list[Answered]) -> Measured[bool]:
    """Compare MAPPED-ADDRESS with XOR-MAPPED-ADDRESS: only the plain one can be rewritten."""
    both = [(a.answer.plain_mapped, a.mapped) for a in answers if a.answer.plain_mapped is not None]
    if not both:
        return Measured.not_measured("no server sends MAPPED-ADDRESS beside XOR-MAPPED-ADDRESS")
    changed = [f"MAPPED-ADDRESS {plain}, XOR {xor}" for plain, xor in both if plain != xor]
    if not changed:
        return Measured.found(False, "MAPPED-ADDRESS and XOR-MAPPED-ADDRESS agree")
    if len(changed) < len(both):
        return Measured.inconclusive("only some servers' addresses are rewritten", *changed)
    return Measured.found(True, "addresses inside packets are rewritten", *changed)
