"""A directory store with small notebooks published in it, and backends that run them with the real runner."""

import json
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import AsyncExitStack
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from podbook_api.embedded.backend import EmbeddedBackend
from podbook_api.embedded.data_dir import DataDir
from podbook_core.contract import parse_contract
from podbook_core.model import Metadata, NotebookExecution, NotebookRef, Spec
from podbook_core.names import execution_name
from podbook_core.profiles import parse_profiles
from podbook_core.store.directory import DirectoryStore
from podbook_core.validation import ContractValidator
from podbook_core.versions import VersionStore, build_bundle

SAVE = (
    "from IPython.display import display\n"
    "import json\n"
    "def save(value):\n"
    "    data = {'name': 'nbschema_outputs', 'data': json.dumps(value), 'encoder': 'text', 'version': 1}\n"
    "    display({'application/scrapbook.scrap.text+json': data}, raw=True)\n"
)
NOTEBOOKS: dict[str, list[str]] = {
    "double": ["x = 1", SAVE + "save({'twice': 2 * x})"],
    "sleeper": ["seconds = 60", "print('asleep')", "import time; time.sleep(seconds)", SAVE + "save({'slept': seconds})"],
    "raising": ["raise ValueError('no such customer')"],
    "killer": ["import os, signal; os.kill(os.getppid(), signal.SIGKILL)", "import time; time.sleep(60)"],
    "stubborn": [
        "import os, signal, subprocess, sys, time\n"
        "subprocess.Popen([sys.executable, '-c', 'import signal, time; "
        "signal.signal(signal.SIGTERM, signal.SIG_IGN); time.sleep(300)'], start_new_session=True)",
        "os.kill(os.getppid(), signal.SIGSTOP)",
        "time.sleep(300)",
    ],
}
CONTRACTS: dict[str, dict[str, Any]] = {
    "double": {
        "input": {"type": "object", "properties": {"x": {"type": "integer"}}, "additionalProperties": False},
        "output": {"type": "object", "properties": {"twice": {"type": "integer"}}, "required": ["twice"]},
    },
}


def notebook_bytes(cells: list[str]) -> bytes:
    """A notebook whose first cell holds the parameters."""
    return json.dumps(
        {
            "nbformat": 4,
            "nbformat_minor": 5,
            "metadata": {"kernelspec": {"name": "python3", "display_name": "Python 3", "language": "python"}},
            "cells": [
                {
                    "cell_type": "code",
                    "id": f"cell-{number}",
                    "metadata": {"tags": ["parameters"]} if number == 0 else {},
                    "execution_count": None,
                    "outputs": [],
                    "source": source,
                }
                for number, source in enumerate(cells)
            ],
        }
    ).encode()


def publish(store: DirectoryStore, name: str, cells: list[str], contract: dict[str, Any] | None = None) -> str:
    """Publish a notebook; returns its version."""
    parsed = None if contract is None else parse_contract(json.dumps(contract).encode(), models=lambda _: None)
    return VersionStore(store).publish(build_bundle(name, notebook_bytes(cells), parsed, ()), now=datetime.now(UTC)).version


def execution(notebook: str, **spec: Any) -> NotebookExecution:
    """A new execution of a notebook, without HTML unless asked for: rendering takes longer than these cells."""
    wanted = {"outputs": {"html": False, "report": False}, **spec}
    return NotebookExecution(
        metadata=Metadata(name=execution_name(notebook)), spec=Spec.model_validate({"notebook": NotebookRef(name=notebook), **wanted})
    )


@pytest.fixture
def data(tmp_path: Path) -> Iterator[DataDir]:
    """An opened data directory."""
    with DataDir(tmp_path / "data") as opened:
        yield opened


@pytest.fixture
def store(data: DataDir) -> DirectoryStore:
    """Its store, with the notebooks of this module published."""
    made = DirectoryStore(data.store)
    for name, cells in NOTEBOOKS.items():
        publish(made, name, cells, CONTRACTS.get(name))
    return made


@pytest.fixture(scope="session")
def validator() -> Iterator[ContractValidator]:
    """One for all tests: its worker takes a moment to start."""
    with ContractValidator(workers=1) as made:
        yield made


BackendFactory = Callable[..., Awaitable[EmbeddedBackend]]


@pytest_asyncio.fixture
async def start_backend(
    data: DataDir, store: DirectoryStore, validator: ContractValidator
) -> AsyncIterator[Callable[..., Awaitable[EmbeddedBackend]]]:
    """Starts backends on the data directory; stopped at the end of the test."""
    async with AsyncExitStack() as stack:

        async def start(**options: Any) -> EmbeddedBackend:
            chosen = {"max_concurrent": 2, "profiles": parse_profiles(None), **options}
            made = EmbeddedBackend(store=store, data=data, validator=validator, **chosen)
            await made.start()
            stack.push_async_callback(made.stop)
            return made

        yield start


async def settle(backend: EmbeddedBackend, name: str) -> NotebookExecution:
    """Follow an execution to its end."""
    last = None
    async with backend.watch(name) as states:
        async for last in states:
            pass
    assert last is not None
    assert last.status.terminal
    return last
