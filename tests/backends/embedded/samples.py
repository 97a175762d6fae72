"""Small notebooks and executions of them, for the tests of the embedded backend."""

import json
from datetime import UTC, datetime
from typing import Any

from tests.support.notebook_file import SAVE, notebook_file

from podbook_api.backends.base import ExecutionBackend
from podbook_core.execution.model import Metadata, NotebookExecution, NotebookRef, Spec
from podbook_core.notebook.contract import parse_contract
from podbook_core.notebook.versions import VersionStore, build_bundle
from podbook_core.store.base import ObjectStore
from podbook_core.text.names import execution_name

DETACHED = (
    "import signal, subprocess, sys\n"
    "code = 'import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); time.sleep(300)'\n"
    "subprocess.Popen([sys.executable, '-c', code], start_new_session=True)\n"
)
"""Starts a process that leaves the kernel's session and ignores SIGTERM."""
NOTEBOOKS: dict[str, list[str]] = {
    "double": ["x = 1", SAVE + "save({'twice': 2 * x})"],
    "sleeper": ["seconds = 60", "print('asleep')", "import time; time.sleep(seconds)", SAVE + "save({'slept': seconds})"],
    "raising": ["raise ValueError('no such customer')"],
    "killer": [DETACHED + "import os; os.kill(os.getppid(), signal.SIGKILL)", "import time; time.sleep(60)"],
    "frozen": [DETACHED + "import os, time; time.sleep(0.5); os.kill(os.getppid(), signal.SIGSTOP); time.sleep(300)"],
    "twice": [
        "marker = ''",
        (
            "import os, pathlib, signal\n"
            "if not pathlib.Path(marker).exists():\n"
            "    pathlib.Path(marker).touch()\n"
            "    os.kill(os.getppid(), signal.SIGKILL)"
        ),
        SAVE + "save({'attempt': 2})",
    ],
}
"""``killer`` and ``frozen`` end and stop their own runner; ``twice`` does so in its first attempt only."""
CONTRACTS: dict[str, dict[str, Any]] = {
    "double": {
        "input": {"type": "object", "properties": {"x": {"type": "integer"}}, "additionalProperties": False},
        "output": {"type": "object", "properties": {"twice": {"type": "integer"}}, "required": ["twice"]},
    },
}


def publish(store: ObjectStore, name: str, cells: list[str], contract: dict[str, Any] | None = None) -> str:
    """Publish a notebook; returns its version."""
    parsed = None if contract is None else parse_contract(json.dumps(contract).encode(), models=lambda _: None)
    return VersionStore(store).publish(build_bundle(name, notebook_file(cells), parsed, ()), now=datetime.now(UTC)).version


def publish_all(store: ObjectStore) -> None:
    """Publish every notebook of this module."""
    for name, cells in NOTEBOOKS.items():
        publish(store, name, cells, CONTRACTS.get(name))


def new_execution(notebook: str, **spec: Any) -> NotebookExecution:
    """An execution to be created, without HTML: rendering takes longer than these cells."""
    wanted = {"notebook": NotebookRef(name=notebook), "outputs": {"html": False, "report": False}, **spec}
    return NotebookExecution(metadata=Metadata(name=execution_name(notebook)), spec=Spec.model_validate(wanted))


async def settle(backend: ExecutionBackend, name: str) -> NotebookExecution:
    """Follow an execution to its end."""
    last = None
    async with backend.watch(name) as states:
        async for state in states:
            last = state
    assert last is not None
    assert last.status.terminal
    return last
