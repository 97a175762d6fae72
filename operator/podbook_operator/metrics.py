"""What Prometheus may ask of the operator. Times in seconds."""

from collections.abc import Callable

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram
from prometheus_client.exposition import start_http_server

__all__ = ["Metrics"]

_WAITS = (0.5, 1, 2, 5, 10, 30, 60, 120, 300, 600, 1800, 3600, 14400, 86400)
_STEPS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30)


class Metrics:
    """The operator's metrics, in a registry of their own."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self.depth = self._gauge("queue_depth", "Executions that are due to be reconciled.")
        self.oldest = self._gauge("queue_oldest_seconds", "How long the oldest of them has been due.")
        self.waiting = self._gauge("executions_waiting", "Executions that wait for a free slot.")
        self.active = self._gauge("executions_active", "Executions that hold a slot.")
        self.known = self._gauge("executions_known", "NotebookExecution resources that exist.")
        self.reconcile = Histogram(
            "podbook_operator_reconcile_seconds", "Duration of one reconciliation.", buckets=_STEPS, registry=self.registry
        )
        self.errors = Counter(
            "podbook_operator_reconcile_errors", "Reconciliations that failed and were requeued.", ["cause"], registry=self.registry
        )
        self.finished = Counter(
            "podbook_operator_executions_finished", "Executions that ended.", ["reason"], registry=self.registry
        )
        self.retries = Counter(
            "podbook_operator_attempts_repeated", "Attempts after the first of an execution.", registry=self.registry
        )
        self.to_start = Histogram(
            "podbook_operator_submit_to_start_seconds", "From creation to the first cell.", buckets=_WAITS, registry=self.registry
        )
        self.to_finish = Histogram(
            "podbook_operator_submit_to_finish_seconds", "From creation to the end.", buckets=_WAITS, registry=self.registry
        )
        self.lag = Histogram(
            "podbook_operator_status_lag_seconds",
            "From the moment the operator sees a pod end to the terminal status.",
            buckets=_STEPS,
            registry=self.registry,
        )

    def serve(self, host: str, port: int) -> Callable[[], None]:
        """Serve /metrics in a thread. Returns what stops it.

        Raises:
            OSError: the port is taken.
        """
        server, thread = start_http_server(port, addr=host, registry=self.registry)

        def stop() -> None:
            server.shutdown()
            server.server_close()
            thread.join()

        return stop

    def _gauge(self, name: str, text: str) -> Gauge:
        return Gauge(f"podbook_operator_{name}", text, registry=self.registry)
