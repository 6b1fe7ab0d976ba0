"""What there is to watch about a server, for Prometheus."""

from __future__ import annotations

from collections.abc import Callable

from prometheus_client import CollectorRegistry, Counter, Gauge, generate_latest


class Metrics:
    """Counters of one server, in a registry of their own: two servers in a program do not mix."""

    def __init__(self) -> None:
        self._registry = CollectorRegistry()
        self.calls = self._counter("calto_calls_total", "Calls begun")
        self.ended = self._counter("calto_calls_ended_total", "Calls ended, by reason", "reason")
        self.frames = self._counter("calto_frames_total", "Frames that came in")
        self.relayed = self._counter("calto_relayed_bytes_total", "Payload bytes of ended relays")
        self.refused = self._counter("calto_refused_total", "Requests refused, by code", "code")

    def _counter(self, name: str, what: str, *labels: str) -> Counter:
        return Counter(name, what, labels, registry=self._registry)

    def watch(self, name: str, what: str, count: Callable[[], float]) -> None:
        """Show what `count` returns whenever somebody looks."""
        Gauge(name, what, registry=self._registry).set_function(count)

    def text(self) -> bytes:
        """Return all of it as scrapers read it."""
        return generate_latest(self._registry)
