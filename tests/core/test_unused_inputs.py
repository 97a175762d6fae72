"""Input files stay while anything names them, and while they are young; the others go."""

import os
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from podbook_core.execution.model import InputFile, Metadata, NotebookExecution, NotebookRef, Spec, Status
from podbook_core.execution.reasons import Reason
from podbook_core.execution.transitions import Change, advance
from podbook_core.results.record import Record, RecordStore
from podbook_core.store.directory import DirectoryStore
from podbook_core.store.keys import input_key, record_key
from podbook_core.text.digests import sha256_hex
from podbook_core.upkeep.unused_inputs import UnusedInputs

NOW = datetime(2030, 6, 15, 12, tzinfo=UTC)
OLD = timedelta(days=2)

Upload = Callable[..., str]


@pytest.fixture
def store(tmp_path: Path) -> DirectoryStore:
    return DirectoryStore(tmp_path)


@pytest.fixture
def upload(store: DirectoryStore) -> Upload:
    """Puts a file into the store as if so long ago; returns its digest."""

    def put(content: bytes = b"1,2", *, age: timedelta = OLD) -> str:
        digest = sha256_hex(content)
        store.put(input_key(digest), content)
        moment = (NOW - age).timestamp()
        os.utime(store.root / input_key(digest), (moment, moment))
        return digest

    return put


@pytest.fixture
def inputs(store: DirectoryStore) -> UnusedInputs:
    return UnusedInputs(store, clock=lambda: NOW)


def close(store: DirectoryStore, uid: str, *digests: str) -> Record:
    """Make the record of an execution that named these inputs."""
    files = [InputFile(name=f"f{number}", sha256=digest, size=3) for number, digest in enumerate(digests)]
    execution = NotebookExecution(
        metadata=Metadata(name=f"nb-{uid}", uid=uid, creation_timestamp=NOW - OLD),
        spec=Spec(notebook=NotebookRef(name="nb"), inputs=files),
    )
    ended = execution.with_status(advance(Status(), Change(Reason.CANCELLED), generation=1, now=NOW - OLD))
    return RecordStore(store).close(ended, None)


def left(store: DirectoryStore) -> list[str]:
    return [key.removeprefix("inputs/") for key in store.list("inputs/")]


def test_what_nothing_names_goes_at_the_second_sweep(store: DirectoryStore, upload: Upload, inputs: UnusedInputs) -> None:
    digest = upload()
    assert inputs.remove(()) == 0
    assert left(store) == [digest]
    assert inputs.remove(()) == 1
    assert left(store) == []
    assert inputs.remove(()) == 0


def test_what_was_just_uploaded_stays(store: DirectoryStore, upload: Upload, inputs: UnusedInputs) -> None:
    young, old = upload(b"young", age=timedelta(hours=23)), upload(b"old")
    assert [inputs.remove(()) for _ in range(3)] == [0, 1, 0]
    assert left(store) == [young]
    upload(b"old", age=timedelta(0))  # the same file again, for an execution that is being created
    assert [inputs.remove(()) for _ in range(3)] == [0, 0, 0]
    assert sorted(left(store)) == sorted([young, old])


def test_what_a_live_execution_names_stays(store: DirectoryStore, upload: Upload, inputs: UnusedInputs) -> None:
    digest = upload()
    assert [inputs.remove({digest}) for _ in range(3)] == [0, 0, 0]
    assert left(store) == [digest]


def test_what_is_named_again_begins_anew(store: DirectoryStore, upload: Upload, inputs: UnusedInputs) -> None:
    digest = upload()
    assert [inputs.remove(used) for used in ((), {digest}, ())] == [0, 0, 0]
    assert left(store) == [digest]
    assert inputs.remove(()) == 1


def test_what_a_record_names_stays_as_long_as_the_record(store: DirectoryStore, upload: Upload, inputs: UnusedInputs) -> None:
    both, one, none = upload(b"both"), upload(b"one"), upload(b"none")
    first, second = close(store, "a", both, one), close(store, "b", both)
    close(store, "c")
    assert [inputs.remove(()) for _ in range(3)] == [0, 1, 0]
    assert none not in left(store)
    RecordStore(store).forget(first)
    assert [inputs.remove(()) for _ in range(3)] == [0, 1, 0]
    assert left(store) == [both]
    RecordStore(store).forget(second)
    assert [inputs.remove(()) for _ in range(2)] == [0, 1]


def test_an_execution_that_ends_between_two_sweeps_keeps_its_inputs(
    store: DirectoryStore, upload: Upload, inputs: UnusedInputs
) -> None:
    digest = upload()
    inputs.remove({digest})
    close(store, "a", digest)
    assert [inputs.remove(()) for _ in range(3)] == [0, 0, 0]
    assert left(store) == [digest]


def test_a_record_that_cannot_be_read_could_name_anything(store: DirectoryStore, upload: Upload, inputs: UnusedInputs) -> None:
    upload()
    close(store, "a")
    whole = store.get(record_key("a"), limit=2**30).data
    store.put(record_key("a"), whole[:50])
    assert [inputs.remove(()) for _ in range(3)] == [0, 0, 0]
    store.put(record_key("a"), whole)
    assert [inputs.remove(()) for _ in range(2)] == [0, 1]
