"""A directory store with small notebooks published in it, and backends that run them with the real runner."""

from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any, Protocol

import pytest
import pytest_asyncio
from tests.backends.embedded import samples

from podbook_api.backends.embedded.backend import EmbeddedBackend
from podbook_api.backends.embedded.data_dir import DataDir
from podbook_core.execution.profiles import parse_profiles
from podbook_core.schema.validation import ContractValidator
from podbook_core.store.directory import DirectoryStore


class StartBackend(Protocol):
    """Starts a backend on the test's data directory; it is stopped at the end of the test."""

    async def __call__(self, **options: Any) -> EmbeddedBackend: ...


@pytest.fixture
def data(tmp_path: Path) -> Iterator[DataDir]:
    """An opened data directory."""
    with DataDir(tmp_path / "data") as opened:
        yield opened


@pytest.fixture
def store(data: DataDir) -> DirectoryStore:
    """Its store, with the sample notebooks published."""
    made = DirectoryStore(data.store)
    samples.publish_all(made)
    return made


@pytest.fixture(scope="session")
def validator() -> Iterator[ContractValidator]:
    """One for all tests: its worker takes a moment to start."""
    with ContractValidator(workers=1) as made:
        yield made


@pytest_asyncio.fixture
async def start_backend(data: DataDir, store: DirectoryStore, validator: ContractValidator) -> AsyncIterator[StartBackend]:
    """Starts backends, with two slots unless told otherwise."""
    async with AsyncExitStack() as stack:

        async def start(**options: Any) -> EmbeddedBackend:
            chosen = {"max_concurrent": 2, "profiles": parse_profiles(None), **options}
            made = EmbeddedBackend(store=store, data=data, validator=validator, **chosen)
            await made.start()
            stack.push_async_callback(made.stop)
            return made

        yield start
