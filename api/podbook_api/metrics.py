"""Prometheus metrics of one application, in a registry of its own."""

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, ProcessCollector, generate_latest

__all__ = ["Metrics"]

_BUCKETS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300)


class Metrics:
    """What the API counts. Labels hold route templates and reasons only: never names, ids or anything a caller chose."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        ProcessCollector(registry=self.registry)
        self.requests = Histogram(
            "podbook_api_request_seconds",
            "Time to answer a request, by route; of a stream, until it ended. Status 499: the client disconnected before its request was complete.",
            ("method", "route", "status"),
            buckets=_BUCKETS,
            registry=self.registry,
        )
        self.submitted = Counter(
            "podbook_api_executions_submitted", "Executions created through this process.", registry=self.registry
        )
        self.refused = Counter(
            "podbook_api_executions_refused", "Requests to run that were refused, by code.", ("code",), registry=self.registry
        )
        self.live = Gauge(
            "podbook_executions_live",
            "Executions whose resource exists, by reason; absent while the cluster cannot be reached. Every replica reports all of them: take the maximum, not the sum.",
            ("reason",),
            registry=self.registry,
        )
        self.streams = Gauge("podbook_api_event_streams", "Open event streams.", registry=self.registry)

    def text(self) -> bytes:
        """The metrics in Prometheus' text format."""
        return generate_latest(self.registry)
