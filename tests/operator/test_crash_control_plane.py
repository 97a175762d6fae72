"""The operator dies after every one of its writes, to a real API server and a real S3 server; the next one brings the run to the same end.

Nothing is left of an operator but what it wrote, so dying after one write and dying before the next one are the same. All executions of a stage are played at the same time, each with an operator of its own that knows of no other. What the Job controller
does is real; the pods are played. What a watch would tell is read from lists, again and again.
"""

import asyncio
import json
import re
import time
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from podbook_cluster.errors import ClusterError
from podbook_core.execution.reasons import Reason
from podbook_core.results.record import RecordStore
from podbook_core.schema.validation import ContractValidator
from podbook_core.store.base import StoreError
from podbook_core.store.s3 import S3Settings, S3Store
from podbook_core.store.s3_settings import S3Section
from podbook_core.text.names import secret_name
from podbook_operator.cluster import KubernetesCluster
from podbook_operator.settings import Settings
from podbook_operator.wiring import _Operator as Operator

from .control_plane import ApiServer, Kubelet
from .fuses import CrashError, Fuse, fused_cluster, fused_store

pytestmark = [pytest.mark.controlplane, pytest.mark.timeout(300)]

Document = dict[str, Any]


@dataclass(frozen=True)
class Scenario:
    """A run, and what happens to it once it is where it should be."""

    notebook: str
    reason: Reason
    """Its end."""
    attempts: int = 1
    spec: Mapping[str, Any] = field(default_factory=dict)
    strikes: str = ""
    """What happens to it: cancel, evict or delete job; nothing when empty."""
    at: Reason = Reason.RUNNING
    place: bool = True
    """Whether it gets a place, or waits for one forever."""


SCENARIOS = {
    "success": Scenario("analysis", Reason.SUCCEEDED),
    "failure": Scenario("broken", Reason.CELL_FAILED),
    "refused": Scenario("analysis", Reason.INVALID_PARAMETERS, 0, {"parameters": {"x": "text"}}),
    "retried": Scenario("flaky", Reason.SUCCEEDED, 2, {"retries": 1}),
    "cancelled in the queue": Scenario("endless", Reason.CANCELLED, 0, strikes="cancel", at=Reason.QUEUED, place=False),
    "cancelled": Scenario("endless", Reason.CANCELLED, strikes="cancel"),
    "evicted once": Scenario("moved", Reason.SUCCEEDED, 2, strikes="evict"),
    "evicted and well": Scenario("stubborn", Reason.SUCCEEDED, strikes="evict"),
    "never begun": Scenario("lacking", Reason.CONFIGURATION_ERROR),
    "job deleted": Scenario("endless", Reason.JOB_LOST, strikes="delete job"),
}
PASSING = re.compile(r"status( (Scheduled|Starting|Running))?( \d+)?")
"""Writes that happen or not, depending on how fast the cluster is."""
UUID = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}")


@dataclass(frozen=True)
class End:
    """Everything that has to be the same whatever happened."""

    reason: str
    attempts: int
    conditions: Mapping[str, str]
    results: str
    """Keys of the results, without the unique ids in them."""
    recorded: str
    """The reason in the record."""
    indexed: int
    """Entries in all indexes."""
    named: bool
    """Whether it is found by its name."""
    jobs: int
    """Jobs ever created."""
    pods: int
    """Pods ever created."""
    successes: int
    """Attempts that ended well."""


@dataclass
class Play:
    """One execution, and the fuse between it and its operators."""

    name: str
    scenario: Scenario
    fuse: Fuse
    struck: bool = False
    """Whether it was cancelled, evicted or robbed of its Job, as its scenario says."""
    body: Document = field(default_factory=dict)
    """The execution, as it is in the end."""
    known: tuple[str, ...] = ()
    """What its operator has looked at: resource versions."""
    due: float = 0.0
    """When its operator wants to look again although nothing has changed."""


@dataclass(frozen=True)
class Seen:
    """Everything there is in the namespace at one moment, by the execution it belongs to."""

    executions: Mapping[str, Document]
    jobs: Mapping[str, list[Document]]
    pods: Mapping[str, list[Document]]
    secrets: frozenset[str]

    def versions(self, name: str) -> tuple[str, ...]:
        """What would have been an event had it changed."""
        return tuple(
            item["metadata"]["resourceVersion"]
            for item in [self.executions[name], *self.jobs.get(name, ()), *self.pods.get(name, ())]
        )

    def at_rest(self, name: str) -> bool:
        """Whether an execution has ended and left nothing but its results."""
        body = self.executions[name]
        conditions = {item["type"]: item["status"] for item in body.get("status", {}).get("conditions", [])}
        told = conditions.get("Finished") == conditions.get("ResultsStored") == "True"
        return told and not self.jobs.get(name) and secret_name(body["metadata"]["uid"]) not in self.secrets


class Stage:
    """Where executions are played, all that are given at the same time."""

    def __init__(self, api: ApiServer, bucket: S3Settings, kubelet: Kubelet, validator: ContractValidator, profiles: Path) -> None:
        self._api, self._kubelet, self._validator = api, kubelet, validator
        self._store = S3Store(bucket)
        self._settings = Settings(
            namespace=api.namespace,
            s3=S3Section(bucket=bucket.bucket),
            profiles_file=profiles,
            max_active=1000,
            job_ttl_seconds=1,
            configuration_grace_seconds=0,
        )

    async def play(self, plays: list[Play]) -> None:
        """Play them to their ends."""
        cluster = await KubernetesCluster.connect(self._api.namespace)
        lives = {play.name: self._life(play, cluster) for play in plays}
        for play in plays:
            created = self._api.create(play.name, **{"notebook": {"name": play.scenario.notebook}, **play.scenario.spec})
            assert created.status_code == 201, created.text
        left = plays
        async with asyncio.timeout(120):
            while left:
                seen = await asyncio.to_thread(self._look)
                for play in left:
                    play.body = seen.executions[play.name]
                    self._strike(play)
                left = [play for play in left if not seen.at_rest(play.name)]
                await asyncio.gather(*(self._turn(play, seen, lives, cluster) for play in left))
                await asyncio.sleep(0.05)
        for life in lives.values():
            life.storage.close()
        await cluster.aclose()

    def ends(self, plays: Iterable[Play]) -> dict[str, End]:
        """How they ended, by name."""
        entries = Counter(found[0] for key in self._all("index/") if (found := UUID.search(key)))
        return {play.name: self._end(play, entries) for play in plays}

    def _life(self, play: Play, cluster: KubernetesCluster) -> Operator:
        return Operator(self._settings, fused_cluster(cluster, play.fuse), fused_store(self._store, play.fuse), self._validator)

    async def _turn(self, play: Play, seen: Seen, lives: dict[str, Operator], cluster: KubernetesCluster) -> None:
        """Let an operator see what there is, and do what there is to do. When it dies of it, another one is there the next time."""
        life, versions = lives[play.name], seen.versions(play.name)
        if versions == play.known and time.monotonic() < play.due:
            return
        life.facts.jobs.clear()
        life.facts.pods.clear()
        life.facts.put_execution(seen.executions[play.name])
        for job in seen.jobs.get(play.name, ()):
            life.facts.put_job(job)
        for pod in seen.pods.get(play.name, ()):
            life.facts.put_pod(pod)
        try:
            again = await life.reconciler.visit(play.name)
            if play.scenario.place and life.facts.places.grant():
                again = await life.reconciler.visit(play.name)
            play.known, play.due = versions, time.monotonic() + (3600 if again is None else again)
        except CrashError:
            play.known = ()
            life.storage.close()
            lives[play.name] = self._life(play, cluster)
        except (ClusterError, StoreError):
            return  # later

    def _strike(self, play: Play) -> None:
        status = play.body.get("status", {})
        if play.struck or status.get("reason") != play.scenario.at:
            return
        api = self._api
        match play.scenario.strikes:
            case "cancel":
                answer = api.patch(f"{api.executions}/{play.name}", {"spec": {"cancel": True}})
            case "evict":
                eviction = {"apiVersion": "policy/v1", "kind": "Eviction", "metadata": {"name": status["podName"]}}
                answer = api.client.post(f"{api.pods}/{status['podName']}/eviction", json=eviction)
            case "delete job":
                answer = api.client.request("DELETE", f"{api.jobs}/{status['jobName']}", json={"propagationPolicy": "Background"})
            case _:
                return
        assert answer.is_success, answer.text
        play.struck = True

    def _look(self) -> Seen:
        api = self._api
        jobs: dict[str, list[Document]] = defaultdict(list)
        pods: dict[str, list[Document]] = defaultdict(list)
        for path, found in ((api.jobs, jobs), (api.pods, pods)):
            for item in api.items(path):
                found[item["metadata"]["labels"]["podbook.dev/execution"]].append(item)
        secrets = frozenset(item["metadata"]["name"] for item in api.items(f"/api/v1/namespaces/{api.namespace}/secrets"))
        return Seen({item["metadata"]["name"]: item for item in api.items(api.executions)}, jobs, pods, secrets)

    def _end(self, play: Play, entries: Mapping[str, int]) -> End:
        uid, status = play.body["metadata"]["uid"], play.body["status"]
        record = RecordStore(self._store).read(uid)
        assert record is not None
        return End(
            reason=status["reason"],
            attempts=status.get("attempts", 0),
            conditions={item["type"]: item["status"] for item in status["conditions"]},
            results=UUID.sub("…", json.dumps(status.get("results"), sort_keys=True)),
            recorded=record.execution.status.reason,
            indexed=entries[uid],
            named=self._store.head(f"names/{play.name}.json") is not None,
            jobs=len(play.fuse.jobs),
            pods=len(self._kubelet.pods.get(play.name, ())),
            successes=self._kubelet.succeeded.get(play.name, 0),
        )

    def _all(self, prefix: str) -> Iterator[str]:
        last = ""
        while page := self._store.list(prefix, start_after=last):
            yield from page
            last = page[-1]


@pytest.fixture(scope="module")
def stage(api: ApiServer, bucket: S3Settings, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    profiles = tmp_path_factory.mktemp("crash") / "profiles.yaml"
    profiles.write_text("default: {image: 'runner:1'}")
    kubelet = Kubelet(api, S3Store(bucket))
    kubelet.start()
    with ContractValidator() as validator:
        yield Stage(api, bucket, kubelet, validator, profiles)
    kubelet.stop()
    api.client.delete(api.executions)


@pytest.fixture(scope="module")
def calm(stage: Stage) -> Mapping[str, tuple[Play, End]]:
    """Every scenario without a crash, and how it ended."""
    plays = {name: Play(f"calm-{number}", scenario, Fuse()) for number, (name, scenario) in enumerate(SCENARIOS.items())}
    asyncio.run(stage.play(list(plays.values())))
    ends = stage.ends(plays.values())
    return {name: (play, ends[play.name]) for name, play in plays.items()}


@pytest.fixture(scope="module")
def crashed(stage: Stage, calm: Mapping[str, tuple[Play, End]]) -> Mapping[tuple[str, str], tuple[Play, End]]:
    """Every scenario with a crash after each of its writes, by scenario and write."""
    keys = [(name, write) for name, (play, _) in calm.items() for write in play.fuse.writes]
    plays = {key: Play(f"crash-{number}", SCENARIOS[key[0]], Fuse(key[1])) for number, key in enumerate(keys)}
    asyncio.run(stage.play(list(plays.values())))
    ends = stage.ends(plays.values())
    return {key: (play, ends[play.name]) for key, play in plays.items()}


@pytest.mark.parametrize("name", SCENARIOS)
def test_a_crash_after_any_write_changes_nothing_about_the_end(
    calm: Mapping[str, tuple[Play, End]], crashed: Mapping[tuple[str, str], tuple[Play, End]], name: str
) -> None:
    scenario, (play, end) = SCENARIOS[name], calm[name]
    assert (end.reason, end.attempts) == (scenario.reason, scenario.attempts)
    assert (end.recorded, end.named) == (scenario.reason, True)
    assert end.jobs == (1 if scenario.attempts else 0)
    assert end.pods == scenario.attempts
    assert end.successes == (scenario.reason is Reason.SUCCEEDED)
    assert len(play.fuse.writes) >= (10 if scenario.attempts else 5), play.fuse.writes
    for (of, write), (struck, other) in crashed.items():
        if of == name:
            assert struck.fuse.blown or PASSING.fullmatch(write), f"{write} never happened: {struck.fuse.writes}"
            assert other == end, f"a crash after {write}"
