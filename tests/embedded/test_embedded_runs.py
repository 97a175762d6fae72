"""One execution from its creation to its record, by the real runner."""

import json

from podbook_core.record import RecordStore
from podbook_core.reasons import Reason
from podbook_core.store.directory import DirectoryStore
from tests.embedded.conftest import BackendFactory, execution, settle


async def test_success_is_recorded_and_leaves_nothing_alive(start_backend: BackendFactory, store: DirectoryStore) -> None:
    backend = await start_backend()
    created = await backend.create(execution("double", parameters={"x": 21}))
    assert created.status.reason is Reason.QUEUED
    assert created.status.resolved is not None

    ended = await settle(backend, created.name)

    assert ended.status.reason is Reason.SUCCEEDED, ended.status.message
    record = RecordStore(store).read(created.uid)
    assert record is not None
    assert record.execution == ended
    output = record.find("output.json")
    assert output is not None
    assert json.loads(store.get(output.key, if_match=output.etag).data) == {"twice": 42}
