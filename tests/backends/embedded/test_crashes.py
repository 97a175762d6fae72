"""The server is killed with -9: nothing accepted is lost, and nothing runs twice to success."""

import json
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from tests.support.notebook_file import SAVE, notebook_file
from tests.support.serving import Server

from podbook_api.backends.embedded.process import abandon, is_held
from podbook_core.execution.manifest import AttemptManifest
from podbook_core.execution.reasons import ExitCode, Reason
from podbook_core.store.directory import DirectoryStore

KILLS = 6
PER_ROUND = 4


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    """Not yet started."""
    with Server(tmp_path, "--max-concurrent", "3") as made:
        cells = ["x = 0\nseconds = 0.3", SAVE + "import time; time.sleep(seconds); save({'twice': 2 * x})"]
        (made.notebooks / "double.ipynb").write_bytes(notebook_file(cells))
        yield made


def submit(server: Server, key: str, parameters: dict[str, Any]) -> str:
    """Create an execution, once for each key; returns its name."""
    answer = httpx.post(
        f"{server.url}/v1/notebooks/double/executions",
        json={"parameters": parameters, "outputs": {"html": False, "report": False}},
        headers={"Idempotency-Key": key},
        timeout=30,
    )
    assert answer.status_code in (200, 202), answer.text
    return str(answer.json()["id"])


def manifests(store: DirectoryStore) -> dict[str, list[AttemptManifest]]:
    """What every attempt said, by the execution's uid."""
    found: dict[str, list[AttemptManifest]] = {}
    last = ""
    while page := store.list("executions/", start_after=last):
        for key in page:
            if key.endswith("/result.json"):
                manifest = AttemptManifest.from_json(store.get(key, limit=2**30).data)
                found.setdefault(manifest.uid, []).append(manifest)
        last = page[-1]
    return found


@pytest.mark.timeout(240)
def test_killed_at_random_moments_nothing_is_lost_and_nothing_succeeds_twice(server: Server) -> None:
    seed = int(os.environ.get("PODBOOK_TEST_SEED", time.time_ns() % 10**6))
    print(f"PODBOOK_TEST_SEED={seed}")
    moments = random.Random(seed)  # noqa: S311 - no secret
    names: dict[str, str] = {}
    kills = 0
    for number in range(KILLS):
        server.start()
        for key in (f"{number}-{index}" for index in range(PER_ROUND)):
            names[key] = submit(server, key, {"x": len(names)})
        time.sleep(moments.uniform(0.0, 1.5))
        server.kill()
        kills += 1
    server.start()
    # What was accepted is known by its key still, and is not created again.
    again = {key: submit(server, key, {"x": index}) for index, key in enumerate(names)}
    assert again == names
    ends = {name: server.wait_for_end(name, seconds=120) for name in names.values()}

    total = KILLS * PER_ROUND
    outcomes = manifests(DirectoryStore(server.data / "store"))
    records = list((server.data / "store" / "executions").glob("*/record.json"))
    listed = httpx.get(f"{server.url}/v1/executions", params={"limit": 200}).json()["items"]
    successes = [sum(item.outcome == Reason.SUCCEEDED for item in items) for items in outcomes.values()]
    print(f"kills={kills} executions={total} ended={len(ends)} records={len(records)} successes={sum(successes)}")
    assert kills >= 5
    assert len(set(names.values())) == total
    assert {end["reason"] for end in ends.values()} == {"Succeeded"}, ends
    assert len(records) == total
    assert len(listed) == total
    assert successes == [1] * total
    assert {
        json.loads(path.read_bytes())["twice"] for path in (server.data / "store" / "executions").glob("*/attempts/*/output.json")
    } == {2 * index for index in range(total)}
    assert list((server.data / "live").iterdir()) == []
    assert list((server.data / "work").iterdir()) == []


def test_a_living_runner_is_adopted_and_not_run_again(server: Server) -> None:
    server.start()
    name = submit(server, "one", {"x": 1, "seconds": 4})
    while httpx.get(f"{server.url}/v1/executions/{name}").json()["status"]["phase"] != "Running":
        time.sleep(0.1)
    server.kill()
    server.start()
    assert server.wait_for_end(name)["attempts"] == 1
    assert "still runs; following it" in server.output


def test_an_adopted_runner_can_be_cancelled(server: Server) -> None:
    server.start()
    name = submit(server, "one", {"seconds": 100})
    while httpx.get(f"{server.url}/v1/executions/{name}").json()["status"]["phase"] != "Running":
        time.sleep(0.1)
    server.kill()
    server.start()
    httpx.post(f"{server.url}/v1/executions/{name}/cancel").raise_for_status()
    assert server.wait_for_end(name)["reason"] == "Cancelled"
    assert httpx.get(f"{server.url}/v1/executions/{name}/notebook").status_code == 200


def test_a_runner_that_ended_while_nobody_looked_is_judged_by_its_manifest(server: Server) -> None:
    server.start()
    name = submit(server, "one", {"x": 5, "seconds": 1})
    while not list((server.data / "work").glob("*/*/lock")):
        time.sleep(0.02)
    server.kill()
    (lock,) = (server.data / "work").glob("*/*/lock")
    while is_held(lock):
        time.sleep(0.05)
    server.start()
    end = server.wait_for_end(name)
    assert (end["reason"], end["attempts"]) == ("Succeeded", 1)
    assert httpx.get(f"{server.url}/v1/executions/{name}/output").json() == {"twice": 10}


def test_a_runner_killed_together_with_the_server_is_run_again(server: Server) -> None:
    server.start()
    name = submit(server, "one", {"x": 6, "seconds": 2})
    while httpx.get(f"{server.url}/v1/executions/{name}").json()["status"]["phase"] != "Running":
        time.sleep(0.1)
    (lock,) = (server.data / "work").glob("*/*/lock")
    server.kill()
    os.kill(int(lock.read_text()), signal.SIGKILL)
    server.start()
    end = server.wait_for_end(name)
    assert (end["reason"], end["attempts"]) == ("Succeeded", 2)


def test_a_runner_that_comes_late_to_an_attempt_given_up_does_not_begin(tmp_path: Path) -> None:
    lock = tmp_path / "attempt" / "lock"
    assert abandon(lock)
    assert not is_held(lock)
    # The lock comes before everything else: there need not even be a task.
    command = [sys.executable, "-m", "podbook_runner", "--task", str(tmp_path / "task.json"), "--attempt", "late"]
    ended = subprocess.run([*command, "--lock-file", str(lock)], capture_output=True, text=True, timeout=60, check=False)
    assert ended.returncode == ExitCode.CONFIGURATION_ERROR
    assert "was used before" in ended.stderr


def test_a_living_attempt_cannot_be_given_up(tmp_path: Path) -> None:
    lock = tmp_path / "lock"
    code = f"import fcntl, sys, time; f = open({str(lock)!r}, 'w'); fcntl.flock(f, fcntl.LOCK_EX); print('held', flush=True); time.sleep(60)"
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == b"held\n"
        assert is_held(lock)
        assert not abandon(lock)
        holder.kill()
    assert not is_held(lock)
    assert abandon(lock)


def test_stopping_says_what_remains_and_the_next_start_finishes_it(server: Server) -> None:
    server.start()
    names = [submit(server, str(index), {"seconds": 3}) for index in range(4)]
    while httpx.get(f"{server.url}/v1/executions/{names[0]}").json()["status"]["phase"] != "Running":
        time.sleep(0.1)
    assert server.stop() == 0
    assert "3 runs were interrupted" in server.output
    assert "1 waiting in the queue" in server.output
    server.start()
    assert [server.wait_for_end(name)["reason"] for name in names] == ["Succeeded"] * 4
