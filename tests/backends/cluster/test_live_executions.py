"""The cache of live executions: the newest state wins, what is gone stays gone, and nobody waits for nothing."""

import asyncio
from collections.abc import AsyncIterator

import pytest
from tests.core.builders import NOW

from podbook_api.backends.cluster.backend import KubernetesBackend, _parse
from podbook_api.backends.cluster.cache import LiveExecutions
from podbook_cluster.errors import AnsweredError
from podbook_cluster.resource_versions import version_number
from podbook_core.execution.model import Metadata, NotebookExecution, NotebookRef, Results, Spec
from podbook_core.execution.reasons import Reason
from podbook_core.execution.transitions import Change, advance, is_settled, mark_stored


def execution(version: int, reason: Reason = Reason.PENDING, uid: str = "u1", name: str = "a") -> NotebookExecution:
    """A state of an execution."""
    item = NotebookExecution(
        metadata=Metadata(name=name, uid=uid, resource_version=str(version)), spec=Spec(notebook=NotebookRef(name="n"))
    )
    return item.with_status(advance(item.status, Change(reason), generation=1, now=NOW))


def settled(version: int) -> NotebookExecution:
    """An end with its results stored."""
    item = execution(version, Reason.SUCCEEDED)
    return item.with_status(mark_stored(item.status, Results(record="r"), now=NOW))


async def next_or_none(states: AsyncIterator[NotebookExecution]) -> NotebookExecution | None:
    """The next state, None at the end."""
    async with asyncio.timeout(30):
        return await anext(states, None)


def test_the_newest_state_wins_whatever_comes_when() -> None:
    live = LiveExecutions()
    assert live.learn(execution(5)) == execution(5)
    assert live.learn(execution(3, Reason.RUNNING)) == execution(5)
    assert live.learn(execution(10, Reason.RUNNING)) == execution(10, Reason.RUNNING)
    assert live.get("a") == execution(10, Reason.RUNNING)
    assert live.get("b") is None


def test_what_is_gone_stays_gone() -> None:
    live = LiveExecutions()
    live.learn(execution(5))
    live.forget("a", "u1", 6)
    live.learn(execution(4))
    assert live.get("a") is None
    again = execution(7, uid="u2")
    live.learn(again)
    live.forget("a", "u1", 8)
    assert live.get("a") == again


def test_a_list_replaces_what_is_older_than_itself() -> None:
    live = LiveExecutions()
    live.learn(execution(5))
    live.learn(execution(20, uid="u2", name="created-meanwhile"))
    live.replace([execution(8, uid="u3", name="b")], 10)
    assert {item.name for item in live.all()} == {"created-meanwhile", "b"}


@pytest.mark.parametrize("number", [10, 4])
def test_a_list_of_a_cluster_that_was_set_back_replaces_everything(number: int) -> None:
    live = LiveExecutions()
    live.learn(execution(5))
    live.learn(execution(20, Reason.RUNNING))
    live.learn(execution(30, uid="u2", name="never-was"))
    live.forget("b", "u3", 40)
    live.replace([execution(4), execution(3, uid="u3", name="b")], number, asked_at=live.newest)
    assert {item.name: item.metadata.resource_version for item in live.all()} == {"a": "4", "b": "3"}
    assert live.newest == number
    assert live.waiting() == 2
    live.learn(execution(11, Reason.RUNNING))
    assert live.waiting() == 1


def test_how_many_wait() -> None:
    live = LiveExecutions()
    for number, reason in enumerate((Reason.PENDING, Reason.QUEUED, Reason.STARTING, Reason.RUNNING, Reason.SUCCEEDED)):
        live.learn(execution(number, reason, uid=f"u{number}", name=f"n{number}"))
    assert live.waiting() == 3
    live.learn(execution(10, Reason.STARTING, uid="u0", name="n0"))
    live.learn(execution(11, Reason.RUNNING, uid="u1", name="n1"))
    live.learn(execution(5, Reason.QUEUED, uid="u1", name="n1"))
    assert live.waiting() == 2
    live.forget("n0", "u0", 12)
    live.forget("n2", "another", 12)
    assert live.waiting() == 1
    live.replace([execution(4, Reason.SUCCEEDED, uid="u4", name="n4")], 20)
    assert live.waiting() == 0


async def test_followers_see_each_state_once_and_the_end() -> None:
    live = LiveExecutions()
    live.learn(execution(1))
    with live.following("a") as changed:
        states = live.states("a", changed)
        assert await next_or_none(states) == execution(1)
        live.learn(execution(2, Reason.QUEUED))
        live.learn(execution(3, Reason.RUNNING))
        live.learn(execution(2, Reason.QUEUED))
        assert await next_or_none(states) == execution(3, Reason.RUNNING)
        live.learn(execution(4, Reason.SUCCEEDED))
        assert await next_or_none(states) == execution(4, Reason.SUCCEEDED)
        waiting = asyncio.create_task(next_or_none(states))
        await asyncio.sleep(0)
        assert not waiting.done()
        live.learn(settled(5))
        assert await waiting == settled(5)
        assert await next_or_none(states) is None


@pytest.mark.parametrize("end", ["gone", "closed", "listed without it"])
async def test_followers_end_with_what_they_follow(end: str) -> None:
    live = LiveExecutions()
    live.learn(execution(1))
    with live.following("a") as changed:
        states = live.states("a", changed)
        await next_or_none(states)
        waiting = asyncio.create_task(next_or_none(states))
        await asyncio.sleep(0)
        if end == "gone":
            live.forget("a", "u1", 2)
        elif end == "closed":
            live.close()
        else:
            live.replace([], 9)
        assert await waiting is None


def test_settled_means_ended_and_stored() -> None:
    assert not is_settled(execution(1))
    assert not is_settled(execution(1, Reason.SUCCEEDED))
    assert is_settled(settled(1))


@pytest.mark.parametrize(("text", "number"), [("12", 12), (None, 0), ("", 0), ("x", 0), ("-1", 0)])
def test_version_numbers(text: str | None, number: int) -> None:
    assert version_number(text) == number


def test_a_malformed_resource_breaks_nothing(caplog: pytest.LogCaptureFixture) -> None:
    backend = KubernetesBackend("default")
    bad = {
        "metadata": {"name": "bad", "uid": "u9", "resourceVersion": "7"},
        "spec": {"notebook": {"name": "../x"}, "secret": "hidden"},
    }
    assert backend._apply({"type": "ADDED", "object": bad}) == "7"
    assert backend._live.all() == []
    assert "execution bad is malformed and skipped: spec.notebook.name" in caplog.text
    assert "hidden" not in caplog.text
    assert _parse({}) is None
    good = execution(8).document()
    assert backend._apply({"type": "MODIFIED", "object": good}) == "8"
    assert backend._apply({"type": "BOOKMARK", "object": {"metadata": {"resourceVersion": "9"}}}) == "9"
    assert [item.name for item in backend._live.all()] == ["a"]
    assert backend._apply({"type": "DELETED", "object": good}) == "8"
    assert backend._live.all() == []


def test_a_watch_that_fell_behind_says_so() -> None:
    with pytest.raises(AnsweredError) as caught:
        KubernetesBackend("default")._apply({"type": "ERROR", "object": {"code": 410, "message": "too old resource version"}})
    assert caught.value.status == 410
