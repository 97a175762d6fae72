"""What 0.1.0 left of a server that was killed is read by this version: catalogue, ended runs, lists, and the runs it was busy with."""

import json
import shutil
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import httpx
import pytest
from tests.support.old_version import FIXTURES
from tests.support.serving import Server

from podbook_api.services.creation import idempotency
from podbook_core.execution.task import Task
from podbook_core.store.directory import DirectoryStore
from podbook_core.text.names import idempotency_digest

NAMES: dict[str, str] = json.loads((FIXTURES / "names.json").read_text())


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """This version on the data directory, without the notebooks of the folder."""
    folder = tmp_path_factory.mktemp("taken-over")
    with Server(folder) as made:
        shutil.copytree(FIXTURES, made.data, ignore=shutil.ignore_patterns("*.md", "names.json", "task.json"))
        (made.data / "folder.json").write_text("[]")  # else they are withdrawn, as their files are gone
        for document in (made.data / "live").glob("*.json"):
            _renew(document)
        made.start()
        yield made


def _renew(document: Path) -> None:
    """Let an execution have been created just now: it must not have waited for too long."""
    raw = json.loads(document.read_text())
    now = datetime.now(UTC).isoformat(timespec="seconds").replace("+00:00", "Z")
    raw["metadata"]["creationTimestamp"] = raw["status"]["queuedTime"] = now
    document.write_text(json.dumps(raw))


def test_the_catalogue(server: Server) -> None:
    items = {item["name"]: item for item in httpx.get(f"{server.url}/v1/notebooks").json()["items"]}
    assert {name: item["status"] for name, item in items.items()} == dict.fromkeys(("double", "extra", "failing", "slow"), "ready")
    assert (items["double"]["title"], items["double"]["timeoutSeconds"]) == ("Double a number", 60)
    assert items["extra"]["assets"] == ["helper.py"]


def test_an_ended_run_with_its_output_and_one_that_failed(server: Server) -> None:
    execution = httpx.get(f"{server.url}/v1/executions/{NAMES['double']}").json()
    assert (execution["status"]["reason"], execution["spec"]["parameters"]) == ("Succeeded", {"x": 21})
    assert httpx.get(f"{server.url}/v1/executions/{NAMES['double']}/output").json() == {"twice": 42}
    assert httpx.get(f"{server.url}/v1/executions/{NAMES['failing']}").json()["status"]["error"]["ename"] == "ValueError"


def test_the_list(server: Server) -> None:
    listed = {item["id"] for item in httpx.get(f"{server.url}/v1/executions").json()["items"]}
    assert listed >= set(NAMES.values())


def test_an_ended_run_runs_again(server: Server) -> None:
    again = httpx.post(f"{server.url}/v1/executions/{NAMES['double']}/rerun", timeout=60)
    assert again.status_code == 202, again.text
    assert server.wait_for_end(again.json()["id"])["reason"] == "Succeeded"


@pytest.mark.parametrize("which", ["running", "waiting"])
def test_a_run_that_had_not_ended_goes_on(server: Server, which: str) -> None:
    assert server.wait_for_end(NAMES[which])["reason"] == "Succeeded"


def test_an_idempotency_key() -> None:
    found = idempotency.read(DirectoryStore(FIXTURES / "store"), idempotency_digest("", "double", "order-1"))
    assert found is not None
    assert found[0].name == NAMES["double"]


def test_a_task() -> None:
    task = Task.from_json((FIXTURES / "task.json").read_bytes())
    assert (task.execution, task.parameters, task.requires) == (NAMES["running"], {"seconds": 1}, ())
