"""Gather ICE candidates as a call would, and say of each kind whether it works, and why not."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from enum import Enum

from natkit.aio.ice import Event, IceTransport
from natkit.aio.ice_gather import GatherPlan, gather
from natkit.aio.ice_servers import TurnServer
from natkit.ice.agent import IceAgent
from natkit.ice.candidate import Local
from natkit.ice.gather import CandidateFound, InquiryEnded
from natkit.ice.inquiry import Inquiry, Kind
from natkit.machine import Seconds
from natkit.nat.addresses import from_outside, is_local
from natkit.network import Network
from natkit.wire import TransportAddress


@dataclass(frozen=True, slots=True)
class Step:
    """Something that gathering brought: a candidate, or a server's failure to give one.

    Attributes:
        at:      seconds since gathering began.
        found:   the candidate; None: `inquiry` has come to nothing, or to nothing new.
        inquiry: whom we asked; None: nobody had to be.
    """

    at: Seconds
    found: Local | None
    inquiry: Inquiry | None


class Outcome(Enum):
    """How a kind of candidate fares."""

    WORKS = "works"
    FAILS = "does not work"
    NOT_ASKED = "not asked for"


@dataclass(frozen=True, slots=True)
class Verdict:
    """What came of one kind of candidate.

    Attributes: kind: "host", "reflexive" or "relay over udp", say; why: in words.
    """

    kind: str
    outcome: Outcome
    why: str


@dataclass(frozen=True, slots=True)
class Survey:
    """What gathering has shown.

    Attributes: findings: what is odd or misconfigured, in words.
    """

    steps: tuple[Step, ...]
    verdicts: tuple[Verdict, ...]
    findings: tuple[str, ...]

    @property
    def exit_code(self) -> int:
        """0: all that was asked for works; 4: a login was refused; 3: else."""
        if all(verdict.outcome is not Outcome.FAILS for verdict in self.verdicts):
            return 0
        return 4 if any(s.inquiry is not None and s.inquiry.is_refused for s in self.steps) else 3


async def survey(
    network: Network,
    plan: GatherPlan,
    randomness: Callable[[int], bytes],
    on_step: Callable[[Step], None],
) -> Survey:
    """Gather by `plan`.

    Args:
        randomness: returns that many unpredictable bytes.
        on_step:    hears of everything as it happens.
    """
    began = network.now()
    steps: list[Step] = []

    def heard(event: Event) -> None:
        match event:
            case CandidateFound(local):
                asked = transport.generation.gatherer.inquiries
                inquiry = next((it for it in asked if it.found is local), None)
                steps.append(Step(network.now() - began, local, inquiry))
            case InquiryEnded(inquiry) if inquiry.is_new:
                return  # its candidate comes next
            case InquiryEnded(inquiry):
                steps.append(Step(network.now() - began, None, inquiry))
            case _:
                return
        on_step(steps[-1])

    agent = IceAgent(controlling=True, randomness=randomness)
    transport = IceTransport(network, agent, on_event=heard, on_data=lambda _data, _component: None)
    try:
        await gather(transport, plan)
    finally:
        await transport.close()
    return judge(plan, steps)


def judge(plan: GatherPlan, steps: Sequence[Step]) -> Survey:
    """Say what the steps of gathering show."""
    inquiries = [step.inquiry for step in steps if step.inquiry is not None]
    asked = [it for it in inquiries if it.kind is Kind.REFLEXIVE]
    hosts = [step.found.candidate for step in steps if step.found and step.inquiry is None]
    over_tcp = [candidate for candidate in hosts if candidate.is_tcp]
    udp = len(hosts) - len(over_tcp)
    verdicts = [
        _verdict("host", plan.hosts, udp, "no address that a peer could reach"),
        *_tcp(plan, len(over_tcp), [it for it in inquiries if it.kind is Kind.HOST]),
        _reflexive(plan, asked),
        *_mapped(plan, [it for it in inquiries if it.kind is Kind.MAPPED]),
        *_relays(plan.turn, [it for it in inquiries if it.kind is Kind.RELAYED]),
    ]
    return Survey(tuple(steps), tuple(verdicts), tuple(_findings(inquiries)))


def _verdict(kind: str, asked: bool, found: int, otherwise: str) -> Verdict:
    if not asked:
        return Verdict(kind, Outcome.NOT_ASKED, "")
    if found:
        return Verdict(kind, Outcome.WORKS, f"{found} candidate{'s' if found > 1 else ''}")
    return Verdict(kind, Outcome.FAILS, otherwise)


def _tcp(plan: GatherPlan, found: int, failed: Sequence[Inquiry]) -> Iterable[Verdict]:
    if plan.tcp:
        yield _verdict("host over tcp", plan.hosts, found, _why(failed))


def _reflexive(plan: GatherPlan, asked: Sequence[Inquiry]) -> Verdict:
    good = [it for it in asked if it.found is not None]
    if good and not any(it.is_new for it in good):
        why = "the servers see our own address: no NAT, and no further candidate"
        return Verdict("reflexive", Outcome.WORKS, why)
    wanted = plan.hosts and bool(plan.stun)
    return _verdict("reflexive", wanted, len({it.found for it in good if it.is_new}), _why(asked))


def _mapped(plan: GatherPlan, asked: Sequence[Inquiry]) -> Iterable[Verdict]:
    if plan.mapping:
        found = sum(it.found is not None for it in asked)
        yield _verdict("mapped port", plan.hosts, found, _why(asked))


def _relays(servers: Iterable[TurnServer], inquiries: Sequence[Inquiry]) -> Iterable[Verdict]:
    for server in servers:
        mine = [it for it in inquiries if it.server == server.name]
        found = sum(it.found is not None for it in mine)
        yield _verdict(f"relay {server.name}", True, found, _why(mine))


def _why(inquiries: Sequence[Inquiry]) -> str:
    errors = dict.fromkeys(it.error for it in inquiries if it.error is not None)
    return "; ".join(error for error in errors if error) or "nobody was asked"


def _findings(inquiries: Sequence[Inquiry]) -> Iterable[str]:
    relayed = [it for it in inquiries if it.kind is Kind.RELAYED]
    reflexive = [it for it in inquiries if it.kind is Kind.REFLEXIVE]
    yield from _symmetric(reflexive)
    for it in relayed:
        if it.found is not None and is_local(it.found.candidate.host):
            at = it.found.candidate.host
            yield (
                f"{it.server} gives the relayed address {at}, which is private: peers outside"
                " cannot reach it. Give the server its public address"
                " (natkit turn serve --relay-address, coturn's external-ip)"
            )
        if it.is_refused:
            yield f"{it.server} refuses the login. Try: natkit turn check"
    answered = any(it.found for it in reflexive)
    if reflexive and not answered and any(it.found for it in relayed):
        yield (
            "A relay works and no STUN server answers: UDP to them is blocked, or they are not"
            " STUN servers. Calls will go over the relay where they could go directly"
        )


def _symmetric(inquiries: Sequence[Inquiry]) -> Iterable[str]:
    """Look for a base that two servers see at different ports."""
    answers: dict[TransportAddress, list[tuple[str, TransportAddress]]] = {}
    for it in inquiries:
        address = None if it.found is None else it.found.candidate.address
        if it.base is not None and address is not None:
            answers.setdefault(it.base, []).append((it.server, address))
    for base, seen in answers.items():
        addresses = {at for _, at in from_outside(seen)}
        if len(addresses) > 1:
            listed = " and ".join(sorted(map(str, addresses)))
            yield (
                f"{base} is seen at {listed} by different servers: the NAT gives every destination"
                " another port (symmetric), so most calls need a relay. Try: natkit probe"
            )
