"""The services of one application, put together over its context. Doors get this, and nothing else."""

from dataclasses import dataclass
from typing import Self

from podbook_api.auth.keys import Caller
from podbook_api.metrics import Metrics
from podbook_api.services import audit
from podbook_api.services.access import Access
from podbook_api.services.catalogue import NotebookService
from podbook_api.services.context import Context
from podbook_api.services.creation.creator import Creator
from podbook_api.services.errors import NotAuthenticatedError
from podbook_api.services.executions import ExecutionService, visible
from podbook_api.services.following import EventHub
from podbook_api.services.links import LinkService
from podbook_api.services.results import ResultService
from podbook_api.services.runs import RunService
from podbook_core.execution.model import NotebookExecution
from podbook_core.threads import Threads

__all__ = ["Services"]

STORE_THREADS = 32
CHECK_THREADS = 8


@dataclass(frozen=True, slots=True)
class Services:
    """Everything a door stands on."""

    context: Context
    notebooks: NotebookService
    runs: RunService
    executions: ExecutionService
    results: ResultService
    links: LinkService
    events: EventHub
    metrics: Metrics

    @classmethod
    def over(cls, context: Context) -> Self:
        """The services over a context."""
        threads, checks, metrics = Threads(STORE_THREADS), Threads(CHECK_THREADS), Metrics()
        notebooks = NotebookService(context, threads=threads, checks=checks)
        executions = ExecutionService(context, threads=threads)
        results = ResultService(context, executions, threads=threads)
        creator = Creator(context, notebooks, executions, threads=threads, checks=checks)
        return cls(
            context=context,
            notebooks=notebooks,
            runs=RunService(creator, notebooks, executions, results, metrics=metrics),
            executions=executions,
            results=results,
            links=LinkService(context, executions),
            events=EventHub(context.backend, executions, results, open_streams=metrics.streams),
            metrics=metrics,
        )

    def caller(self, presented: str | None) -> Caller:
        """Who calls, by the key a request carries, whatever its door calls that; noted for the audit log.

        Raises:
            NotAuthenticatedError: a key is needed, and this one is missing, not known or expired.
        """
        found = self.context.keys.caller(presented, now=self.context.clock())
        if found is None:
            raise NotAuthenticatedError(presented=presented is not None)
        audit.note(caller=found.id)
        return found

    def access(self, presented: str | None) -> Access:
        """What the caller behind a key may read, now and as long as the key is good.

        Raises:
            NotAuthenticatedError: as :meth:`caller`.
        """
        found, context = self.caller(presented), self.context

        def holds(execution: NotebookExecution) -> bool:
            present = context.keys.caller(presented, now=context.clock())
            return present is not None and visible(present, execution, "read")

        return Access(found, f"key {found.id or ''}", holds)
