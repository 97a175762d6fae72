"""Executions as the API server has them: with parameters that are too large to be kept, and after the facts turned out to be outdated."""

from podbook_cluster.errors import NotFoundError
from podbook_core.execution.model import NotebookExecution
from podbook_core.execution.stored import read_execution
from podbook_operator.cluster import Cluster
from podbook_operator.facts.cache import Facts

__all__ = ["LookAgainError", "Reader"]


class LookAgainError(Exception):
    """What was known is outdated; the facts have been corrected."""


class Reader:
    """Reads single executions, and corrects the facts by what it finds.

    Args:
        facts: what is known.
        cluster: what is so.
    """

    def __init__(self, facts: Facts, cluster: Cluster) -> None:
        self._facts, self._cluster = facts, cluster

    async def whole(self, execution: NotebookExecution) -> NotebookExecution:
        """The execution with its parameters, as it was when it was decided about.

        Raises:
            LookAgainError: it is not as it was.
            NotFoundError: it is gone.
            pydantic.ValidationError: its parameters are malformed.
        """
        entry = self._facts.entries.get(execution.name)
        if entry is not None and entry.whole and entry.resource_version == execution.metadata.resource_version:
            return execution
        return await self.live(execution)

    async def live(self, execution: NotebookExecution) -> NotebookExecution:
        """The same from the API server itself, which also proves that it still exists. Raises the same."""
        body = await self._cluster.get_execution(execution.name)
        if body["metadata"]["uid"] != execution.uid:
            raise LookAgainError
        if body["metadata"]["resourceVersion"] != execution.metadata.resource_version:
            self._facts.put_execution(body)
            raise LookAgainError
        return read_execution(body).execution

    async def again(self, name: str) -> None:
        """Correct what is known of an execution."""
        try:
            self._facts.put_execution(await self._cluster.get_execution(name))
        except NotFoundError:
            entry = self._facts.entries.get(name)
            if entry is not None:
                self._facts.drop_execution(name, entry.uid)
