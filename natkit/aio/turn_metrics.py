"""Prometheus metrics of a running TURN server, read live when somebody asks.

natkit's own names first; those that begin with `turn_` and `stun_` are coturn's, so that dashboards
made for it work. No label carries a user's name: time-limited names would be without end.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from typing import Any, TypeAlias

from natkit.aio.turn_report import Live, Report, Session, SessionEnded, WorkerLost
from natkit.dataplane import Counters
from natkit.turn.events import RequestRefused
from natkit.turn.forwarding import Transport

Metric: TypeAlias = Any
"""prometheus_client.core.Metric: the package is there only where somebody wants metrics."""

DURATIONS = (1, 10, 60, 300, 1800, 3600, 10800)
"""Upper bounds of the duration histogram in seconds: a failed call, a short one, an hour, three."""


class TurnMetrics:
    """Counts what a service reports, and writes it as Prometheus reads it.

    Hand it every report, then ask for `text`. Needs the package prometheus-client.
    """

    def __init__(self, realm: str) -> None:
        import prometheus_client
        import prometheus_client.core

        self._live = Live()
        self._core: Any = prometheus_client.core
        self._realm = realm
        self._made: Counter[Transport] = Counter()
        self._refused: Counter[tuple[str, str]] = Counter()
        self._lost = 0
        self._durations: Counter[float] = Counter()
        self._lasted = 0.0
        self._ended: Counter[str] = Counter()
        self._registry = prometheus_client.CollectorRegistry()
        self._registry.register(self)
        prometheus_client.ProcessCollector(registry=self._registry)
        self._latest = prometheus_client.generate_latest

    def count(self, report: Report) -> None:
        """Count what a service reports."""
        match report:
            case Session(path=path):
                self._made[path.transport] += 1
            case SessionEnded(reason=reason, lasted=lasted):
                self._ended[reason.name.lower()] += 1
                self._lasted += lasted
                bound = next((bound for bound in DURATIONS if lasted <= bound), float("inf"))
                self._durations[bound] += 1
            case RequestRefused(routine=True):
                pass
            case RequestRefused(code=code, method=method):
                self._refused[str(code), method.name.lower()] += 1
            case WorkerLost():
                self._lost += 1

    def text(self, live: Live) -> bytes:
        """Return everything in Prometheus' text format."""
        self._live = live
        return self._latest(self._registry)

    def collect(self) -> Iterator[Metric]:
        """Prometheus: yield every metric."""
        yield from self._sessions()
        yield from self._refusals()
        live = self._live
        yield from self._traffic(live.carried)
        yield self._gauge("natkit_turn_relay_ports_used", "Relay ports taken.", live.ports_used)
        yield self._gauge("natkit_turn_relay_ports", "Relay ports there are.", live.ports)
        yield self._gauge("natkit_turn_workers", "Worker processes that answer.", live.workers)
        yield self._gauge(
            "natkit_turn_fast_path_workers",
            "Workers whose packets the kernel forwards where it can.",
            live.in_kernel,
        )
        yield self._labelled(
            "natkit_turn_packets",
            "Packets relayed, by who forwarded them.",
            "plane",
            _by_plane(live.carried),
        )
        yield self._counter(
            "natkit_turn_workers_lost", "Workers that ended by themselves.", self._lost
        )

    def _sessions(self) -> Iterator[Metric]:
        now = self._live.allocations
        for name, label, words in (
            ("natkit_turn_allocations", "transport", "{}"),
            ("turn_total_allocations", "type", "{}"),
        ):
            family = self._core.GaugeMetricFamily(name, "Allocations now.", labels=[label])
            for transport in Transport:
                word = transport.value if label == "transport" else transport.name
                family.add_metric([words.format(word)], now[transport])
            yield family
        made = {transport.value: count for transport, count in self._made.items()}
        yield self._labelled("natkit_turn_allocations_made", "Made so far.", "transport", made)
        yield self._labelled(
            "natkit_turn_allocations_ended", "Ended so far.", "reason", self._ended
        )
        yield self._histogram()

    def _histogram(self) -> Metric:
        family = self._core.HistogramMetricFamily(
            "natkit_turn_session_duration_seconds", "How long allocations lasted."
        )
        buckets, below = [], 0
        for bound in (*DURATIONS, float("inf")):
            below += self._durations[bound]
            buckets.append(("+Inf" if bound == float("inf") else str(bound), below))
        family.add_metric([], buckets=buckets, sum_value=self._lasted)
        metric: Metric = family
        return metric

    def _refusals(self) -> Iterator[Metric]:
        family = self._core.CounterMetricFamily(
            "natkit_turn_errors", "Requests refused.", labels=["code", "method"]
        )
        for (code, method), count in self._refused.items():
            family.add_metric([code, method], count)
        yield family
        yield self._counter(
            "turn_unauthenticated_401_responses", "Answers with 401.", self._live.challenges
        )

    def _traffic(self, carried: Counters) -> Iterator[Metric]:
        """Yield payloads; coturn's rcv and sent are as the server sees its clients, or peers."""
        for name, help_, value in (
            ("natkit_turn_to_peers_packets", "Packets relayed to peers.", carried.to_peers),
            ("natkit_turn_to_peers_bytes", "Bytes relayed to peers.", carried.to_peers_bytes),
            ("natkit_turn_from_peers_packets", "Packets relayed to clients.", carried.from_peers),
            ("natkit_turn_from_peers_bytes", "Bytes relayed to clients.", carried.from_peers_bytes),
            ("natkit_turn_dropped_packets", "Packets dropped for a limit.", carried.dropped),
            ("turn_packet_processed", "Packets relayed.", carried.to_peers + carried.from_peers),
            ("turn_packet_dropped", "Packets dropped.", carried.dropped),
        ):
            yield self._counter(name, help_, value)
        pairs = {
            "rcvp": (carried.to_peers, carried.from_peers),
            "rcvb": (carried.to_peers_bytes, carried.from_peers_bytes),
            "sentp": (carried.from_peers, carried.to_peers),
            "sentb": (carried.from_peers_bytes, carried.to_peers_bytes),
        }
        for kind, (clients, peers) in pairs.items():
            for side, value in (("", clients), ("_peer", peers)):
                help_ = f"coturn's name: {kind} of {'peers' if side else 'clients'}."
                yield self._counter(f"turn_total_traffic{side}_{kind}", help_, value)
                traffic = f"turn_traffic{side}_{kind}"
                yield self._labelled(traffic, help_, "realm", {self._realm: value})

    def _gauge(self, name: str, help_: str, value: float) -> Metric:
        metric: Metric = self._core.GaugeMetricFamily(name, help_, value=value)
        return metric

    def _counter(self, name: str, help_: str, value: float) -> Metric:
        metric: Metric = self._counters(name)(name, help_, value=value)
        return metric

    def _counters(self, name: str) -> Any:
        """Return the class of a counter; coturn's have no "_total" behind their names."""
        ours = name.startswith("natkit_")
        return self._core.CounterMetricFamily if ours else self._core.UnknownMetricFamily

    def _labelled(self, name: str, help_: str, label: str, values: dict[str, int]) -> Metric:
        family = self._counters(name)(name, help_, labels=[label])
        for value, count in values.items():
            family.add_metric([value], count)
        metric: Metric = family
        return metric


def _by_plane(carried: Counters) -> dict[str, int]:
    packets = carried.to_peers + carried.from_peers
    return {"kernel": carried.in_kernel, "portable": packets - carried.in_kernel}
