"""Health, events, patches and logs: the small parts that people look at."""

import asyncio
import json
import logging
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from podbook_core.execution.reasons import Reason
from podbook_core.execution.transitions import Change
from podbook_core.json_logs import JsonFormatter
from podbook_operator.act.kube_events import EventRecorder, build_event
from podbook_operator.act.status_writer import merge_patch
from podbook_operator.watch.handlers import WATCHED
from podbook_operator.watch.health import Health, live_watchers

from .documents import NOW, RUNNING, execution

ALIVE = [f"watcher for {kind}@runs" for kind in WATCHED]


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


def test_a_dead_watch_is_noticed() -> None:
    assert live_watchers(WATCHED, ["worker 1", *ALIVE]) == list(WATCHED)
    assert live_watchers(WATCHED, ALIVE[1:]) == list(WATCHED[1:])


def test_watchers_may_be_missing_while_it_starts_and_not_afterwards() -> None:
    clock = Clock()
    health = Health(WATCHED, lambda: 0.0, clock=clock)
    assert health.problems([]) == []
    clock.now = 61
    assert "no watch is running" in health.problems([])[0]
    assert health.problems(ALIVE) == []


def test_stuck_work_is_noticed() -> None:
    health = Health(WATCHED, lambda: 121.0)
    assert "due for 121 s" in health.problems(ALIVE)[0]


async def test_a_worker_that_has_ended_is_noticed() -> None:
    health = Health(WATCHED, lambda: 0.0)
    task = asyncio.create_task(asyncio.sleep(0), name="worker 7")
    health.expect([task])
    assert health.problems(ALIVE) == []
    await task
    assert health.problems(ALIVE) == ["worker 7 has ended"]


def test_an_event_names_its_execution_and_is_a_warning_when_it_failed() -> None:
    item = execution(RUNNING, Change(Reason.CELL_FAILED, "cell 2: ValueError"))
    event = build_event(item, item.status, now=NOW, suffix="1")
    assert (event["type"], event["reason"], event["message"]) == ("Warning", "CellFailed", "cell 2: ValueError")
    assert (event["involvedObject"]["name"], event["involvedObject"]["uid"]) == (item.name, item.uid)


class Sink:
    def __init__(self) -> None:
        self.bodies: list[Any] = []
        self.full = asyncio.Event()

    async def create_event(self, body: Any) -> None:
        self.bodies.append(body)
        if len(self.bodies) == 101:
            self.full.set()


async def test_events_are_dropped_before_they_become_a_flood() -> None:
    clock, sink = Clock(), Sink()
    recorder = EventRecorder(sink, clock)
    item = execution(RUNNING)
    for number in range(150):
        recorder.tell(item, item.status, NOW + timedelta(seconds=number))
    assert recorder.dropped == 50
    clock.now = 1.0
    recorder.tell(item, item.status, NOW + timedelta(seconds=200))
    assert recorder.dropped == 50
    sending = asyncio.create_task(recorder.run())
    async with asyncio.timeout(10):
        await sink.full.wait()
    sending.cancel()
    assert len({body["metadata"]["name"] for body in sink.bodies}) == 101


JSON = st.recursive(
    st.booleans() | st.integers() | st.text(max_size=3),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=2), inner),
)
DOCUMENTS = st.dictionaries(st.text(max_size=2), JSON, max_size=4)


def applied(before: Any, patch: Any) -> Any:
    """RFC 7386, section 2."""
    if not isinstance(patch, dict):
        return patch
    after = dict(before) if isinstance(before, dict) else {}
    for key, value in patch.items():
        if value is None:
            after.pop(key, None)
        else:
            after[key] = applied(after.get(key), value)
    return after


@given(DOCUMENTS, DOCUMENTS)
def test_a_merge_patch_leads_to_the_document_and_nothing_is_sent_when_nothing_changed(
    before: dict[str, Any], after: dict[str, Any]
) -> None:
    assert applied(before, merge_patch(before, after)) == after
    assert merge_patch(after, after) == {}


@pytest.mark.parametrize("level", [logging.INFO, logging.ERROR])
def test_log_lines_are_json_with_the_words_people_search_for(level: int) -> None:
    record = logging.LogRecord("podbook", level, __file__, 1, "it %s", ("ran",), None)
    record.execution, record.notebook, record.reason = "analysis-1", "analysis", "Succeeded"
    line = json.loads(JsonFormatter().format(record))
    assert (line["message"], line["execution"], line["notebook"], line["reason"]) == (
        "it ran",
        "analysis-1",
        "analysis",
        "Succeeded",
    )
    assert line["time"].endswith("Z")
