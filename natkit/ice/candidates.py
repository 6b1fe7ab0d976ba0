"""The candidates of both sides in one session, and those that checks have brought up."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace

from natkit.ice.candidate import (
    Candidate,
    CandidateType,
    Local,
    Origin,
    Remote,
    TcpType,
)
from natkit.ice.messages import Checked
from natkit.ice.pair import Pair, Path
from natkit.machine import Instant
from natkit.wire import TransportAddress

MOST = 200
"""Candidates that one side tells, and as many that its checks bring up: more than pair up are of no
use, and come from somebody who lies."""

REFLEXIVE = frozenset({CandidateType.SERVER_REFLEXIVE, CandidateType.PEER_REFLEXIVE})


class Candidates:
    """What is known of both sides.

    Attributes: local, remote: in the order in which they became known.
    """

    def __init__(self) -> None:
        self.local: list[Local] = []
        self.remote: list[Remote] = []
        self._kept: frozenset[tuple[TransportAddress, bool]] | None = None

    def keep(self, paths: Iterable[Path]) -> None:
        """Use none of ours any more but those that these paths leave from."""
        self._kept = frozenset((path.base, path.tcp) for path in paths)

    @property
    def are_freed(self) -> bool:
        """True when only those of ours are left that were chosen."""
        return self._kept is not None

    def senders(self) -> Iterator[Local]:
        """Return our candidates that are their own base, host and relayed ones, and still here."""
        for local in self.local:
            is_here = self._kept is None or (local.base, local.candidate.is_tcp) in self._kept
            if is_here and local.candidate.type not in REFLEXIVE:
                yield local

    def sender(self, base: TransportAddress, *, tcp: bool) -> Local | None:
        """Return the one that leaves from `base`."""
        for local in self.senders():
            if local.base == base and local.candidate.is_tcp is tcp:
                return local
        return None

    def remote_at(self, address: TransportAddress, component: int, *, tcp: bool) -> Remote | None:
        """Return the peer's candidate at an address."""
        for remote in self.remote:
            known = remote.candidate
            if (remote.address, known.component, known.is_tcp) == (address, component, tcp):
                return remote
        return None

    def add_remote(self, candidate: Candidate, address: TransportAddress, now: Instant) -> Remote:
        """Keep a candidate of the peer's whose address is new."""
        self.remote.append(Remote(candidate, address, now))
        self.find_relays()
        return self.remote[-1]

    def find_relays(self) -> None:
        """Mark what comes over relays of the peer's, by their IPs."""
        ips = {remote.address.ip for remote in self.remote if remote.candidate.is_relayed}
        for remote in self.remote:
            remote.relayed = remote.address.ip in ips and (
                remote.candidate.is_relayed or remote.candidate.type == CandidateType.PEER_REFLEXIVE
            )

    def learn_remote(self, checked: Checked, local: Local, now: Instant) -> Remote | None:
        """Learn a candidate of the peer's from its check (RFC 8445 §7.3.1.3); None: too many.

        Args: local: where the check came in.
        """
        kind = CandidateType.PEER_REFLEXIVE
        number = sum(remote.candidate.type == kind for remote in self.remote)
        if number >= MOST:
            return None
        ip, port = checked.source
        ours = local.candidate
        learnt = Candidate(
            f"prflx{number}",
            ours.component,
            ours.transport,
            checked.priority,
            ip,
            port,
            kind,
            tcptype=ours.opposite,
        )
        return self.add_remote(learnt, checked.source, now)

    def seen_at(self, mapped: TransportAddress, pair: Pair, priority: int, now: Instant) -> Local:
        """Return our candidate at `mapped`, from where the peer has seen the check of `pair`.

        Where it is new it is peer-reflexive, with the priority that the check named
        (RFC 8445 §7.2.5.3.1).
        """
        base = pair.local.base
        if mapped == base:
            return pair.local  # also where a name hides it
        if pair.local.candidate.tcptype == TcpType.ACTIVE and mapped.ip == base.ip:
            return pair.local  # each of its connections has a port of its own
        for local in self.local:
            same_transport = local.candidate.is_tcp is pair.is_tcp
            if local.candidate.address == mapped and local.base == base and same_transport:
                return local
        candidate = replace(
            pair.local.candidate,
            foundation=f"prflx{pair.number}",
            priority=priority,
            host=mapped.ip,
            port=mapped.port,
            type=CandidateType.PEER_REFLEXIVE,
            related_address=base.ip,
            related_port=base.port,
        )
        origin = Origin(now, pair.local.origin.interface, f"the peer at {pair.remote.address}")
        self.local.append(Local(candidate, base, origin))
        return self.local[-1]
