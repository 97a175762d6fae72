"""What every backend must do: derive from :class:`BackendContract` and say which backend and which executions."""

from typing import Any

import pytest
from tests.backends.embedded.samples import settle

from podbook_api.backends.base import AlreadyExistsError, ExecutionBackend, StillActiveError
from podbook_core.execution.model import NotebookExecution
from podbook_core.execution.reasons import Phase, Reason


class BackendContract:
    """The tests. A subclass provides the fixture ``backend``, started, and the two kinds of executions."""

    def quick(self, **spec: Any) -> NotebookExecution:
        """An execution to be created that succeeds soon; ``parameters={"x": "text"}`` break its contract."""
        raise NotImplementedError

    def long(self) -> NotebookExecution:
        """An execution to be created that runs for a minute."""
        raise NotImplementedError

    async def test_create_fills_in_what_identifies_an_execution(self, backend: ExecutionBackend) -> None:
        wanted = self.quick()
        created = await backend.create(wanted)
        assert created.name == wanted.name
        assert created.spec == wanted.spec
        assert created.uid
        assert created.metadata.creation_timestamp is not None
        assert created.metadata.resource_version
        known = await backend.get(wanted.name)
        assert known is not None
        assert known.uid == created.uid
        assert created.uid in {item.uid for item in await backend.live()}

    async def test_a_name_that_is_alive_is_taken(self, backend: ExecutionBackend) -> None:
        created = await backend.create(self.long())
        with pytest.raises(AlreadyExistsError) as refused:
            await backend.create(created.model_copy(update={"status": type(created.status)()}))
        assert refused.value.existing is not None
        assert refused.value.existing.uid == created.uid
        await backend.cancel(created.name)

    async def test_an_unknown_name_is_nothing_and_no_error(self, backend: ExecutionBackend) -> None:
        assert await backend.get("nobody") is None
        assert await backend.cancel("nobody") is None
        await backend.remove("nobody", "no-uid")
        async with backend.watch("nobody") as states:
            assert [state async for state in states] == []

    async def test_a_watch_begins_with_the_present_and_ends_with_the_stored_end(self, backend: ExecutionBackend) -> None:
        created = await backend.create(self.quick())
        async with backend.watch(created.name) as states:
            seen = [state async for state in states]
        assert seen[0].uid == created.uid
        assert not any(state.status.terminal for state in seen[:-1])
        last = seen[-1].status
        assert last.reason is Reason.SUCCEEDED, last.message
        stored = last.condition("ResultsStored")
        assert stored is not None
        assert stored.status == "True"
        assert last.results is not None
        assert last.results.record is not None

    async def test_every_follower_sees_the_end(self, backend: ExecutionBackend) -> None:
        created = await backend.create(self.quick())
        async with backend.watch(created.name) as first, backend.watch(created.name) as second:
            ends = [[state async for state in states][-1] for states in (first, second)]
        assert [end.status.phase for end in ends] == [Phase.SUCCEEDED, Phase.SUCCEEDED]

    async def test_cancel_ends_a_running_execution_and_may_be_repeated(self, backend: ExecutionBackend) -> None:
        created = await backend.create(self.long())
        async with backend.watch(created.name) as states:
            async for state in states:
                if state.status.phase is Phase.RUNNING:
                    break
        cancelled = await backend.cancel(created.name)
        assert cancelled is not None
        assert cancelled.spec.cancel
        assert await backend.cancel(created.name) is not None
        ended = await settle(backend, created.name)
        assert ended.status.reason is Reason.CANCELLED, ended.status.message

    async def test_cancel_leaves_an_end_as_it_is(self, backend: ExecutionBackend) -> None:
        created = await backend.create(self.quick())
        await settle(backend, created.name)
        await backend.cancel(created.name)
        known = await backend.get(created.name)
        assert known is None or known.status.reason is Reason.SUCCEEDED

    async def test_what_is_active_cannot_be_removed_and_what_has_ended_can(self, backend: ExecutionBackend) -> None:
        created = await backend.create(self.long())
        with pytest.raises(StillActiveError):
            await backend.remove(created.name, created.uid)
        await backend.cancel(created.name)
        await settle(backend, created.name)
        await backend.remove(created.name, created.uid)
        assert await backend.get(created.name) is None
        await backend.remove(created.name, created.uid)

    async def test_removal_leaves_another_execution_of_the_same_name_alone(self, backend: ExecutionBackend) -> None:
        created = await backend.create(self.long())
        await backend.remove(created.name, "another-uid")
        assert await backend.get(created.name) is not None
        await backend.cancel(created.name)

    async def test_the_worker_checks_the_contract_again(self, backend: ExecutionBackend) -> None:
        created = await backend.create(self.quick(parameters={"x": "text"}))
        async with backend.watch(created.name) as states:
            last = [state async for state in states][-1]
        assert last.status.reason is Reason.INVALID_PARAMETERS
        assert "/x" in last.status.message
        assert last.status.attempts == 0

    async def test_it_says_that_it_works(self, backend: ExecutionBackend) -> None:
        await backend.check()
