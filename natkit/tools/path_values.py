"""What an explanation of a path is made of, and its JSON form (docs/schema/path-1.json)."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from natkit.tools.path_cause import Fault
from natkit.tools.path_entries import PathKind, Tried
from natkit.tools.path_improve import Improvement
from natkit.tools.path_side import Side

SCHEMA = "natkit.path/1"

Json = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Relay:
    """A relay in the path.

    Attributes:
        side:      whose it is: who asked for it, and reaches it.
        address:   that it has for the other side.
        server:    as its side was configured; None: only that side's report says.
        transport: between its side and it, "udp", "tcp" or "tls"; None: as for `server`.
    """

    side: Side
    address: str
    server: str | None
    transport: str | None


@dataclass(frozen=True, slots=True)
class Checks:
    """What became of the checks of one kind of path.

    Attributes:
        pairs:  numbers in the report.
        sent, answered, received: checks, as the reporter counts them.
        errors: what was noted of these pairs.
    """

    pairs: tuple[int, ...]
    sent: int
    answered: int
    received: int
    errors: tuple[str, ...]

    @classmethod
    def of(cls, pairs: Iterable[Tried]) -> Checks:
        """Count them."""
        tried = sorted(pairs, key=lambda pair: pair.number)
        return cls(
            tuple(pair.number for pair in tried),
            sum(pair.sent for pair in tried),
            sum(pair.answered for pair in tried),
            sum(pair.received for pair in tried),
            tuple(dict.fromkeys(note for pair in tried for note in pair.notes)),
        )

    def as_json(self) -> Json:
        """Return it as `json` can write it."""
        return {
            "pairs": list(self.pairs),
            "checks_sent": self.sent,
            "checks_answered": self.answered,
            "checks_received": self.received,
            "errors": list(self.errors),
        }


@dataclass(frozen=True, slots=True)
class Missed:
    """A better kind of path that was not to be had.

    Attributes:
        over:        "udp" where the kind is the one that won, over TCP or TLS; else None.
        faults:      what stood in the way, the heaviest first.
        checks:      what the reporter tried.
        peer_checks: what the other side tried; None: its report is not there.
    """

    kind: PathKind
    faults: tuple[Fault, ...]
    checks: Checks
    peer_checks: Checks | None
    over: str | None = None

    def as_json(self) -> Json:
        """Return it as `json` can write it."""
        return {
            "kind": self.kind.value,
            "over": self.over,
            "faults": [
                {
                    "side": fault.side.value,
                    "cause": fault.cause.value,
                    "basis": fault.basis.value,
                    "why": fault.why,
                }
                for fault in self.faults
            ],
            "evidence": self.checks.as_json(),
            "peer_evidence": None if self.peer_checks is None else self.peer_checks.as_json(),
        }


@dataclass(frozen=True, slots=True)
class Won:
    """Why the path won.

    Attributes:
        nominated_by: None: nobody has nominated it.
        working:      how many pairs worked.
        rank:         its place among these by priority, from 1 on.
        first:        it was the first that worked.
    """

    pair: Tried
    nominated_by: Side | None
    working: int
    rank: int
    first: bool


@dataclass(frozen=True, slots=True)
class PathExplanation:
    """What path a call takes, why, and what would make it better.

    Attributes:
        kind:      of the path.
        won:       None: there is no path.
        relays:    in the path, this side's first.
        missed:    the better kinds, the best first.
        improve:   what would make the call direct, or connect it at all.
        paragraph: all of this for a person.
    """

    kind: PathKind
    won: Won | None
    relays: tuple[Relay, ...]
    missed: tuple[Missed, ...]
    improve: tuple[Improvement, ...]
    paragraph: str = ""

    def as_json(self) -> Json:
        """Return it as `json` can write it: schema natkit.path/1, docs/schema/path-1.json."""
        return {
            "schema": SCHEMA,
            "kind": self.kind.value,
            "path": self._path_json(),
            "missed": [missed.as_json() for missed in self.missed],
            "improve": [
                {
                    "side": it.side.value,
                    "change": it.change.value,
                    "what": it.what,
                    "enough": it.enough,
                }
                for it in self.improve
            ],
            "paragraph": self.paragraph,
        }

    def _path_json(self) -> Json | None:
        if self.won is None:
            return None
        pair, won = self.won.pair, self.won
        ours = pair.seen_as or pair.local
        return {
            "pair": pair.number,
            "local": {"type": ours.type, "address": ours.ip, "port": ours.port},
            "remote": {
                "type": pair.remote.type,
                "address": pair.remote.ip,
                "port": pair.remote.port,
            },
            "transport": pair.local.transport,
            "round_trip_ms": pair.round_trip_ms,
            "relays": [
                {
                    "side": relay.side.value,
                    "address": relay.address,
                    "server": relay.server,
                    "transport": relay.transport,
                }
                for relay in self.relays
            ],
            "won": {
                "nominated_by": None if won.nominated_by is None else won.nominated_by.value,
                "priority": pair.priority,
                "rank": won.rank,
                "working_pairs": won.working,
                "first_to_work": won.first,
                "worked_ms": pair.worked_ms,
            },
        }
