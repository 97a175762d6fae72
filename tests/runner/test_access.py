"""Access that is renewed while a notebook runs: what is taken up, what is not, and what is kept secret."""

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from podbook_core.execution.task import Destination, Source, Task
from podbook_runner.cells.log import RunLog
from podbook_runner.transfer.redact import Redactor
from podbook_runner.transfer.renewed_access import Access

from .conftest import Mount

PREFIX = "executions/u/attempts/"


def task(signature: str) -> Task:
    """A task whose access was signed with this."""
    return Task(
        execution="e",
        uid="u",
        notebook_name="n",
        version="v",
        notebook=Source(f"https://s/b/k?X-Amz-Signature={signature}", "0" * 64),
        contract=None,
        assets=None,
        inputs=(),
        parameters={"x": 1},
        destination=Destination("post", "https://s/b", PREFIX, {"x-amz-signature": signature}),
        timeout_seconds=1,
    )


OLD, NEW = task("the-first-signature"), task("the-second-signature")


@pytest.fixture
def mount(tmp_path: Path) -> Mount:
    made = Mount(tmp_path / "task")
    made.put(OLD.to_json())
    return made


@pytest.fixture
def access(mount: Mount) -> Access:
    return Access(OLD, mount.file)


def test_access_that_stays_is_the_same_object(access: Access, mount: Mount) -> None:
    destination, secrets = access.destination(), access.secrets()
    assert destination is OLD.destination
    mount.put(OLD.to_json())
    assert access.destination() is destination
    assert access.secrets() is secrets


def test_renewed_access_is_taken_up_and_the_old_one_stays_secret(access: Access, mount: Mount) -> None:
    mount.put(NEW.to_json())
    assert access.destination() == NEW.destination
    assert {"the-first-signature", "the-second-signature"} <= access.secrets()
    third = task("the-third-signature")
    mount.put(third.to_json())
    assert {"the-first-signature", "the-second-signature", "the-third-signature"} <= access.secrets()
    assert access.destination() == third.destination


def others() -> Iterator[tuple[str, bytes]]:
    """Documents that are not a renewal of the task."""
    yield "empty", b""
    yield "cut off", NEW.to_json()[:-20]
    yield "no object", b"[]"
    yield "another run", replace(NEW, uid="u2").to_json()
    yield "another place", replace(NEW, destination=replace(NEW.destination, prefix="executions/u2/attempts/")).to_json()
    yield "another kind", replace(NEW, destination=Destination("directory", "file:///", PREFIX)).to_json()
    yield "no address", replace(NEW, destination=replace(NEW.destination, url="ftp://s/b")).to_json()
    raw = json.loads(NEW.to_json())
    yield "odd fields", json.dumps(raw | {"destination": raw["destination"] | {"fields": ["policy"]}}).encode()
    yield "odd value", json.dumps(raw | {"destination": raw["destination"] | {"fields": {"x-amz-signature": 5}}}).encode()
    yield "odd address", json.dumps(raw | {"destination": raw["destination"] | {"url": None}}).encode()


@pytest.mark.parametrize("document", [pytest.param(data, id=name) for name, data in others()])
def test_what_is_no_renewal_changes_nothing_and_the_next_one_still_counts(access: Access, mount: Mount, document: bytes) -> None:
    secrets = access.secrets()
    mount.put(document)
    assert access.destination() is OLD.destination
    assert access.secrets() is secrets
    mount.put(NEW.to_json())
    assert access.destination() == NEW.destination


def test_a_file_that_is_gone_changes_nothing(access: Access, mount: Mount) -> None:
    mount.file.unlink()
    assert access.destination() is OLD.destination


def test_where_no_access_is_needed_the_task_is_read_once(mount: Mount) -> None:
    """In embedded mode the notebook can write the file, and must not be able to redirect its results by that."""
    directory = replace(OLD, destination=Destination("directory", "file:///store", PREFIX))
    access = Access(directory, mount.file)
    mount.put(replace(directory, destination=Destination("directory", "file:///elsewhere", PREFIX)).to_json())
    assert access.destination() is directory.destination


def test_a_notebook_that_reads_the_renewed_access_first_shows_nothing_of_it(access: Access, mount: Mount) -> None:
    log = RunLog(Redactor(access.secrets))
    log.stream("the-first-signature\n")
    assert log.tail() == b"[redacted]\n"
    mount.put(NEW.to_json())
    log.stream(mount.file.read_text())
    shown = log.tail().decode()
    assert "[redacted]" in shown
    assert "-signature" not in shown.replace("x-amz-signature", "")
