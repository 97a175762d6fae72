"""What a watch did not tell is found out by comparing; what happens while the lists are made is not taken for a loss."""

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from typing_extensions import override

from podbook_cluster.errors import ClusterUnavailableError
from podbook_core.execution.labels import EXECUTION_LABEL, OURS, UID_LABEL
from podbook_operator.facts.cache import Facts
from podbook_operator.facts.workqueue import WorkQueue
from podbook_operator.upkeep.resync import Resync

from .simulation import World

Happening = Callable[["Busy"], None]


class Busy(World):
    """A world where something happens just after a list was made and before its last page has arrived."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self.facts = Facts(10, {})
        self.queue = WorkQueue()
        self.forgotten: list[str] = []
        self.meanwhile: dict[str, Happening] = {}

    def begin(self, name: str) -> None:
        """An execution with its Job and its pod comes, and the operator hears of all of it."""
        self.create_execution(name)
        key, _, value = OURS.partition("=")
        labels = {EXECUTION_LABEL: name, UID_LABEL: f"uid-{name}", key: value}
        owner = {"ownerReferences": [{"uid": f"uid-{name}", "controller": True}]}
        common = {"labels": labels, "creationTimestamp": "2025-03-01T12:00:00Z", "resourceVersion": "1", **owner}
        self.jobs[name] = {"metadata": {"name": name, "uid": f"job-{name}", **common}, "spec": {}, "status": {}}
        self.pods[name] = {"metadata": {"name": name, "uid": f"pod-{name}", **common}, "spec": {}, "status": {}}
        self.facts.put_execution(self.executions[name])
        self.facts.put_job(self.jobs[name])
        self.facts.put_pod(self.pods[name])

    def vanish(self, name: str) -> tuple[dict[str, Any], ...]:
        """All of it goes, and nobody says so."""
        return self.executions.pop(name), self.jobs.pop(name), self.pods.pop(name)

    def go(self, name: str) -> None:
        """All of it goes, and the operator hears of it."""
        _, job, pod = self.vanish(name)
        self.facts.drop_execution(name, f"uid-{name}")
        self.facts.drop_job(job)
        self.facts.drop_pod(pod)

    def compare(self) -> None:
        resync = Resync(cluster=self, facts=self.facts, queue=self.queue, gone=self.forgotten.append, seconds=300)
        asyncio.run(resync.compare())

    def known(self) -> tuple[set[str], set[str], set[str]]:
        jobs = {job.uid for _, job in self.facts.jobs.values()}
        return set(self.facts.entries), jobs, self.facts.object_uids() - jobs

    def _then(self, what: str) -> None:
        if what in self.meanwhile:
            self.meanwhile.pop(what)(self)

    @override
    async def list_executions(self) -> list[dict[str, Any]]:
        made = await super().list_executions()
        self._then("executions")
        return made

    @override
    async def job_uids(self, selector: str) -> set[str]:
        made = await super().job_uids(selector)
        self._then("jobs")
        return made

    @override
    async def pod_uids(self, selector: str) -> set[str]:
        made = await super().pod_uids(selector)
        self._then("pods")
        return made


@pytest.fixture
def world(tmp_path: Path) -> Busy:
    made = Busy(tmp_path)
    for name in ("one", "two"):
        made.begin(name)
    return made


def test_what_has_gone_without_a_word_is_dropped_and_all_the_rest_is_looked_at(world: Busy) -> None:
    world.vanish("one")
    world.compare()
    assert world.known() == ({"two"}, {"job-two"}, {"pod-two"})
    assert world.forgotten == ["uid-one"]
    assert {world.queue.take(), world.queue.take(), world.queue.take()} == {"one", "two", None}


def test_a_job_and_a_pod_go_while_their_execution_stays(world: Busy) -> None:
    del world.jobs["one"], world.pods["two"]
    world.compare()
    assert world.known() == ({"one", "two"}, {"job-two"}, {"pod-one"})
    assert world.forgotten == []


@pytest.mark.parametrize("what", ["executions", "jobs", "pods"])
def test_what_comes_while_a_list_is_made_is_kept(world: Busy, what: str) -> None:
    world.meanwhile[what] = lambda world: world.begin("three")
    world.compare()
    assert world.known() == ({"one", "two", "three"}, {"job-one", "job-two", "job-three"}, {"pod-one", "pod-two", "pod-three"})


@pytest.mark.parametrize("what", ["executions", "jobs", "pods"])
def test_what_goes_while_a_list_is_made_does_not_come_back(world: Busy, what: str) -> None:
    world.meanwhile[what] = lambda world: world.go("one")
    world.compare()
    assert world.known() == ({"two"}, {"job-two"}, {"pod-two"})


def test_a_newer_execution_of_the_same_name_stays(world: Busy) -> None:
    world.vanish("one")
    world.create_execution("one")
    world.executions["one"]["metadata"]["uid"] = "another"
    world.compare()
    assert world.facts.entries["one"].uid == "another"


def test_without_every_list_nothing_is_dropped(world: Busy) -> None:
    def fail(_: Busy) -> None:
        raise ClusterUnavailableError("away")

    world.vanish("one")
    for what in ("executions", "jobs", "pods"):
        world.meanwhile[what] = fail
        with pytest.raises(ClusterUnavailableError):
            world.compare()
    assert world.known() == ({"one", "two"}, {"job-one", "job-two"}, {"pod-one", "pod-two"})
