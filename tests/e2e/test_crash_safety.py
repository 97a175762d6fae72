"""Nothing is lost and nothing runs twice, whatever is killed meanwhile."""

import json
import os
import random
import threading
import time
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import httpx
import pytest

from podbook import Client
from podbook_core.text.names import secret_name

from .faults import kill_api_server, kill_component, start_api_server, start_minio, stop_minio
from .installation import ENDED, Installation, condition
from .journal import JobJournal
from .kubectl import KubectlError
from .patience import until

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(1800)]

EXECUTIONS = int(os.environ.get("PODBOOK_E2E_EXECUTIONS", "200"))
OUTSTANDING = 60
"""How many may be running before another one is submitted."""
OPERATOR_KILLS = 10
OUTAGE_SECONDS = 30


class Chaos:
    """Kills one thing after the other, at random moments, while there is work; then stops."""

    def __init__(self, podbook: Installation, finished: Callable[[], int]) -> None:
        self._podbook = podbook
        self._finished = finished
        self.done: Counter[str] = Counter()
        self.errors: list[str] = []
        self.thread = threading.Thread(target=self._run, name="chaos", daemon=True)
        self.stop = threading.Event()

    def _run(self) -> None:
        dice = random.Random(20)  # noqa: S311 - the same disorder each time
        plan = ["operator"] * OPERATOR_KILLS + ["api"] * 2 + ["minio"] + ["apiserver"] * self._podbook.environment.native
        dice.shuffle(plan)
        for number, victim in enumerate(plan):
            # Spread over the whole of the work: each kill waits for its share of it to be done.
            share = EXECUTIONS * 0.8 * number / len(plan)
            while self._finished() < share and not self.stop.is_set():
                time.sleep(0.5)
            time.sleep(dice.uniform(0, 3))
            try:
                self._kill(victim)
            except Exception as error:  # noqa: BLE001 - reported by the test, which runs in another thread
                self.errors.append(f"{victim}: {error!r}")

    def _kill(self, victim: str) -> None:
        match victim:
            case "minio":
                stop_minio(self._podbook)
                time.sleep(OUTAGE_SECONDS)
                start_minio(self._podbook)
            case "apiserver":
                kill_api_server(self._podbook.environment)
                start_api_server(self._podbook.environment)
            case component:
                until(f"a running {component}", lambda: _try_to_kill(self._podbook, component), seconds=120, every=1)
        self.done[victim] += 1


def _try_to_kill(podbook: Installation, component: str) -> bool:
    """Whether there was one to kill whose program has begun to work."""
    ready = [pod for pod in podbook.pods(component) if condition(pod, "Ready") == "True"]
    if not ready:
        return False
    kill_component(podbook, component)
    return True


def test_nothing_is_lost_and_nothing_runs_twice(podbook: Installation) -> None:
    started = time.monotonic()
    known = {job["metadata"]["uid"] for job in podbook.runs.list("jobs")}
    snapshot: dict[str, tuple[str, str]] = {}

    def finished() -> int:
        return sum(phase in ENDED for phase, _ in list(snapshot.values()))

    chaos = Chaos(podbook, finished)

    def submit(number: int) -> str:
        """Not all at the start: whatever is killed meets callers."""
        until("room for another one", lambda: chaos.stop.is_set() or number < finished() + OUTSTANDING, seconds=1200)
        assert not chaos.stop.is_set(), "the test is over"
        with Client(podbook.url, podbook.key, patience=180) as client:
            return client.submit("quick", {"number": number}, profile="lean", labels={"e2e": "crash"}).id

    with JobJournal(podbook.runs) as journal, ThreadPoolExecutor(4) as pool:
        submissions = [pool.submit(submit, number) for number in range(EXECUTIONS)]
        chaos.thread.start()
        try:
            until("all executions to end", lambda: _all_ended(podbook, snapshot), seconds=1500, every=2)
        finally:
            chaos.stop.set()
            chaos.thread.join(timeout=300)
        names = [submission.result(timeout=1) for submission in submissions]
        jobs = {uid: name for uid, name in journal.jobs.items() if uid not in known}
    seconds = time.monotonic() - started

    ends = Counter(reason for _, reason in snapshot.values())
    successes = Counter(_successes(podbook, name) for name in names)
    print(
        f"\n{EXECUTIONS} executions in {seconds:.0f} s; killed: {dict(chaos.done)}; ends: {dict(ends)}; "
        f"Jobs ever created: {len(jobs)}; successful attempts per execution: {dict(successes)}"
    )
    assert not chaos.errors
    assert chaos.done["operator"] >= OPERATOR_KILLS
    assert (chaos.done["api"], chaos.done["minio"]) == (2, 1)
    assert chaos.done["apiserver"] == podbook.environment.native
    assert set(snapshot) == set(names), "what was accepted is there, once"
    assert len(set(names)) == EXECUTIONS, "none is lost"
    assert ends == {"Succeeded": EXECUTIONS}
    assert len(jobs) == len(set(jobs.values())) == EXECUTIONS, "exactly one Job each"
    assert successes == {1: EXECUTIONS}, "none runs twice to success"
    for number, name in enumerate(names):
        assert podbook.http.get(f"/v1/executions/{name}/output").json() == {"doubled": 2 * number}


def _all_ended(podbook: Installation, snapshot: dict[str, tuple[str, str]]) -> bool:
    """Look at all of them, whether they have ended with their results stored; without an API server there is nothing to see."""
    try:
        items = podbook.runs.list("nbx", "e2e=crash")
    except KubectlError:
        return False
    for item in items:
        status = item.get("status", {})
        stored = condition(item, "ResultsStored") == "True"
        snapshot[item["metadata"]["name"]] = (
            status.get("phase", "Pending") if stored else "Pending",
            status.get("reason", "Pending"),
        )
    return sum(phase in ENDED for phase, _ in snapshot.values()) >= EXECUTIONS


def _successes(podbook: Installation, name: str) -> int:
    """How many attempts of an execution ended well, as the bucket says."""
    uid = podbook.execution(name)["metadata"]["uid"]
    manifests = [key for key in podbook.store.list(f"executions/{uid}/attempts/") if key.endswith("/result.json")]
    return sum(json.loads(podbook.store.get(key, limit=2**30).data)["outcome"] == "Succeeded" for key in manifests)


def test_an_outage_of_the_api_server_is_told_and_passes_by_itself(podbook: Installation) -> None:
    if not podbook.environment.native:
        pytest.skip("the API server is not a process of this machine; CLUSTER=native proves it")
    http = podbook.http
    done = podbook.ended(podbook.submit("quick", {"number": 8}, profile="lean")["id"])["id"]
    name = podbook.submit("sleeping", {"seconds": 5}, profile="lean")["id"]
    podbook.until_reason(name, "Running")
    restarts = podbook.restarts("api"), podbook.restarts("operator")
    run = {"parameters": {"number": 1}, "profile": "lean"}
    requests: dict[str, Callable[[], httpx.Response]] = {
        "reading a run": lambda: http.get(f"/v1/executions/{name}"),
        "starting one": lambda: http.post("/v1/notebooks/quick/executions", json=run, headers={"Idempotency-Key": "outage"}),
        "cancelling one": lambda: http.post(f"/v1/executions/{name}/cancel"),
        # Served from what was seen last, until that is half a minute old.
        "listing them": lambda: http.get("/v1/executions"),
    }
    kill_api_server(podbook.environment)
    try:
        for what, request in requests.items():
            answer = until(f"a refusal of {what}", lambda ask=request: _refused(ask()), seconds=60)  # type: ignore[misc] # of the default
            assert answer.json()["code"] == "BackendUnavailable", what
            assert int(answer.headers["Retry-After"]) > 0, what
        assert http.get(f"/v1/executions/{done}/output").json() == {"doubled": 16}, "what has ended is in the store"
    finally:
        start_api_server(podbook.environment)
    until("the API to serve", lambda: _served(http, f"/v1/executions/{name}"), seconds=90)
    status = podbook.ended(name)["status"]
    assert (status["reason"], status["attempts"]) == ("Succeeded", 1), "what was refused had no effect"
    accepted = until("a new run to be taken", lambda: _accepted(requests["starting one"]), seconds=60)
    assert podbook.ended(accepted)["status"]["reason"] == "Succeeded"
    assert (podbook.restarts("api"), podbook.restarts("operator")) == restarts, "nobody had to be restarted"


def _refused(answer: httpx.Response) -> httpx.Response | None:
    """The answer once it is a refusal; before, only what is known may be answered."""
    if answer.status_code == 503:
        return answer
    assert answer.status_code == 200, answer.text
    return None


def _served(http: httpx.Client, path: str) -> bool:
    """Whether a path is answered; until then only clear refusals are allowed, or none that counts as ready to answer at all."""
    try:
        answer = http.get(path)
    except httpx.ConnectError:
        return False
    assert answer.status_code in (200, 503), answer.text
    return answer.status_code == 200


def _accepted(start: Callable[[], httpx.Response]) -> str | None:
    """The name of the run that was started, if it was."""
    answer = start()
    if answer.status_code == 503:
        return None
    assert answer.status_code == 202, answer.text
    return str(answer.json()["id"])


def test_a_secret_left_by_a_crash_is_written_anew(podbook: Installation) -> None:
    """As if the operator had ended between Secret and Job: the Secret is there, its access is not what the pod needs."""
    operator = podbook.fullname("operator")
    podbook.kubectl("scale", "deployment", operator, "--replicas=0")
    until("the operator to be gone", lambda: not podbook.pods("operator"))
    try:
        name = podbook.submit("quick", {"number": 6}, profile="lean")["id"]
        uid = podbook.execution(name)["metadata"]["uid"]
        owner = {"apiVersion": "podbook.dev/v1alpha1", "kind": "NotebookExecution", "name": name, "uid": uid}
        podbook.runs.create(
            {
                "apiVersion": "v1",
                "kind": "Secret",
                "metadata": {"name": secret_name(uid), "ownerReferences": [owner]},
                "stringData": {"task.json": "{}"},
            }
        )
    finally:
        podbook.kubectl("scale", "deployment", operator, "--replicas=1")
    assert podbook.ended(name)["status"]["reason"] == "Succeeded"
    assert not podbook.runs.exists("secret", secret_name(uid)), "signed access does not outlive the run"
