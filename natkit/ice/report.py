"""All that an agent knows about its candidates and pairs, as plain values that JSON can carry.

Instants are told as milliseconds since the first of them; what is unknown is None.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, TypeAlias

from natkit.ice.agent import IceAgent
from natkit.ice.candidate import Candidate, Local
from natkit.ice.inquiry import Inquiry, Trouble
from natkit.ice.pair import Pair
from natkit.ice.priority import parts
from natkit.machine import Instant, Seconds

SCHEMA = "natkit.ice/1"

Json: TypeAlias = dict[str, Any]


def report(agent: IceAgent, inquiries: Sequence[Inquiry] = ()) -> Json:
    """Return what is known of the present session.

    Args: inquiries: whom we asked for candidates.
    """
    return Reporter(agent, inquiries).document()


class Reporter:
    """Tells everything relative to when it began."""

    def __init__(self, agent: IceAgent, inquiries: Sequence[Inquiry]) -> None:
        self._agent, self._session, self._inquiries = agent, agent.session, inquiries
        known = [local.origin.at for local in self._session.candidates.local]
        known += [remote.since for remote in self._session.candidates.remote]
        known += [inquiry.asked_at for inquiry in inquiries]
        self._began: Instant = min(known, default=0.0)

    def document(self) -> Json:
        """Return the whole report."""
        session = self._session
        components = sorted(session.components)
        return {
            "schema": SCHEMA,
            "state": self._agent.state.value,
            "reason": self._agent.reason,
            "role": "controlling" if self._agent.role.controlling else "controlled",
            "started_ms": self._ms(session.started_at),
            "inquiries": [self._inquiry(inquiry) for inquiry in self._inquiries],
            "local": [self._local(local) for local in session.candidates.local],
            "remote": [
                {
                    **candidate_json(remote.candidate),
                    "since_ms": self._ms(remote.since),
                    "relayed": remote.relayed,
                }
                for remote in session.candidates.remote
            ],
            "pairs": [self._pair(pair) for pair in session.pairs.pairs],
            "unpaired": [
                {
                    "local": str(it.local.candidate),
                    "remote": str(it.remote.candidate),
                    "why": it.why,
                }
                for it in session.pairs.unpaired
            ],
            "selected": [
                pair.number for c in components if (pair := session.usable(c)) is not None
            ],
        }

    def _inquiry(self, inquiry: Inquiry) -> Json:
        found = inquiry.found
        return {
            "kind": inquiry.kind.value,
            "server": inquiry.server,
            "base": None if inquiry.base is None else str(inquiry.base),
            "interface": inquiry.interface,
            "asked_ms": self._ms(inquiry.asked_at),
            "took_ms": milliseconds(inquiry.took),
            "found": None if found is None else str(found.candidate),
            **trouble_json(inquiry.trouble),
        }

    def _local(self, local: Local) -> Json:
        origin = local.origin
        return {
            **candidate_json(local.candidate),
            "base": str(local.base),
            "interface": origin.interface,
            "server": origin.server,
            "round_trip_ms": milliseconds(origin.round_trip),
            "found_ms": self._ms(origin.at),
        }

    def _pair(self, pair: Pair) -> Json:
        history = pair.history
        seen_as = pair.seen_as
        return {
            "number": pair.number,
            "component": pair.component,
            "local": str(pair.local.candidate),
            "seen_as": None if seen_as is None else str(seen_as.candidate),
            "remote": str(pair.remote.candidate),
            "priority": pair.priority,
            "state": pair.state.value,
            "relayed": pair.is_relayed,
            "nominated": pair.nominated,
            "nominated_by": None if history.nominated_by is None else history.nominated_by.value,
            "checks_sent": history.sent,
            "checks_answered": history.answered,
            "checks_received": history.received,
            "round_trip_ms": milliseconds(history.round_trip),
            "changes": [[self._ms(at), state.value] for at, state in history.changes],
            "notes": [[self._ms(at), what] for at, what in history.notes],
        }

    def _ms(self, at: Instant | None) -> float | None:
        return None if at is None else milliseconds(at - self._began)


def trouble_json(trouble: Trouble | None) -> Json:
    """Return how a question came to nothing; all None: it did not."""
    return {
        "error": None if trouble is None else trouble.words,
        "cause": None if trouble is None else trouble.cause.value,
        "code": None if trouble is None else trouble.code,
    }


def candidate_json(candidate: Candidate) -> Json:
    """Return a candidate, its priority taken apart."""
    related = candidate.related_address
    return {
        "type": str(candidate.type),
        "foundation": candidate.foundation,
        "component": candidate.component,
        "transport": candidate.transport,
        "tcptype": candidate.tcptype,
        "address": candidate.host,
        "port": candidate.port,
        "related": None if related is None else [related, candidate.related_port],
        "priority": candidate.priority,
        "priority_parts": list(parts(candidate.priority)),
        "sdp": candidate.to_sdp(),
    }


def milliseconds(length: Seconds | None) -> float | None:
    """Return seconds as milliseconds, to a microsecond."""
    return None if length is None else round(length * 1000, 3)
