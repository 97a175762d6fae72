"""A runner to run: notebooks from cell sources, a store in a directory, the program as a subprocess."""

import hashlib
import itertools
import json
import os
import shutil
import signal
import subprocess
import sys
import textwrap
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest
from tests.support.notebook_file import code_cell, notebook_document

from podbook_core.execution.manifest import AttemptManifest
from podbook_core.execution.task import Destination, InputSource, Source, Task

ATTEMPT = "attempt-1"
UID = "0f3c"
PREFIX = f"executions/{UID}/attempts/"


def notebook(*cells: str | dict[str, Any], kernel: str | None = "python3") -> dict[str, Any]:
    """A notebook of nbformat 4; plain texts are code cells."""
    metadata: dict[str, Any] = {"language_info": {"name": "python"}}
    if kernel is not None:
        metadata["kernelspec"] = {"name": kernel, "display_name": kernel, "language": "python"}
    return notebook_document((code_cell(cell) if isinstance(cell, str) else cell for cell in cells), metadata)


def save(value: str, encoder: str = "text") -> str:
    """Source of a cell that saves an output the way ``save_output`` does; ``value`` is a Python expression."""
    data = f"json.dumps({value})" if encoder == "text" else value
    return (
        "import json\nfrom IPython.display import display\n"
        f"display({{'application/scrapbook.scrap.{encoder}+json': "
        f"{{'name': 'nbschema_outputs', 'data': {data}, 'encoder': '{encoder}', 'version': 1}}}}, raw=True)"
    )


def printed_by(program: str, *arguments: object, warnings: str = "default", environment: Mapping[str, str] | None = None) -> str:
    """What a Python program prints that ends well; ``warnings`` as in ``python -W``, the environment complete."""
    command = [sys.executable, "-W", warnings, "-c", textwrap.dedent(program), *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True, env=environment, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


@dataclass(frozen=True)
class Finished:
    """What a run of the runner left."""

    exit_code: int
    printed: str
    folder: Path
    termination: dict[str, Any] | None
    seconds: float

    @property
    def manifest(self) -> AttemptManifest:
        return AttemptManifest.from_json((self.folder / "result.json").read_bytes())

    @property
    def names(self) -> set[str]:
        return {item.name for item in self.manifest.files}

    def text(self, name: str) -> str:
        return (self.folder / name).read_text()

    def json(self, name: str) -> Any:
        return json.loads(self.text(name))

    def sources(self) -> list[str]:
        return [cell["source"] for cell in self.json("notebook.ipynb")["cells"]]

    def outputs(self) -> str:
        """Everything the cells of the executed notebook show, as one text."""
        return json.dumps([cell.get("outputs", []) for cell in self.json("notebook.ipynb")["cells"]], ensure_ascii=False)


class Mount:
    """A Secret as a kubelet mounts it: the file leads through a link to a folder, and a change turns the link to another folder."""

    def __init__(self, folder: Path) -> None:
        self._folder, self._versions = folder, itertools.count(1)
        folder.mkdir()
        self.file = folder / "task.json"
        self.file.symlink_to("..data/task.json")

    def put(self, document: bytes) -> None:
        """This is what the Secret holds now."""
        current, link = self._folder / "..data", self._folder / "..data_tmp"
        before = current.resolve() if current.exists() else None
        version = self._folder / f"..version_{next(self._versions)}"
        version.mkdir()
        (version / "task.json").write_bytes(document)
        link.symlink_to(version.name)
        link.rename(current)
        if before is not None:
            shutil.rmtree(before)


@dataclass
class Started:
    """A runner that runs."""

    process: subprocess.Popen[str]
    folder: Path
    termination_log: Path
    begun: float = field(default_factory=time.monotonic)

    def wait(self, seconds: float = 100) -> Finished:
        printed, _ = self.process.communicate(timeout=seconds)
        told = self.termination_log.read_text() if self.termination_log.exists() else ""
        return Finished(
            self.process.returncode, printed, self.folder, json.loads(told) if told else None, time.monotonic() - self.begun
        )

    def wait_for(self, condition: Callable[[], bool], seconds: float = 60) -> None:
        end = time.monotonic() + seconds
        while not condition():
            assert time.monotonic() < end, "the condition never came true"
            assert self.process.poll() is None, "the runner ended before the condition came true"
            time.sleep(0.01)

    def terminate(self) -> None:
        self.process.send_signal(signal.SIGTERM)


class Runner:
    """Writes tasks and starts the runner on them."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.store = folder / "store"
        self.attempt_folder = self.store / PREFIX / ATTEMPT
        self.work = folder / "w"
        self.termination_log = folder / "termination.json"
        self._processes: list[subprocess.Popen[str]] = []

    def source(self, name: str, content: bytes) -> Source:
        path = self.folder / name
        path.write_bytes(content)
        return Source(path.as_uri(), hashlib.sha256(content).hexdigest())

    def input(self, name: str, content: bytes) -> InputSource:
        source = self.source(f"input-{name}", content)
        return InputSource(name, source.url, source.sha256, len(content))

    def task(self, content: dict[str, Any] | bytes, **changes: Any) -> Task:
        data = content if isinstance(content, bytes) else json.dumps(content).encode()
        contract = changes.pop("output", None)
        task = Task(
            execution="two-cells-1",
            uid=UID,
            notebook_name="two-cells",
            version="0" * 64,
            notebook=self.source("notebook.ipynb", data),
            contract=None if contract is None else self.source("contract.json", json.dumps({"output": contract}).encode()),
            assets=None,
            inputs=(),
            parameters={},
            destination=Destination("directory", self.store.as_uri(), PREFIX),
            timeout_seconds=60,
            html=False,
            report=False,
        )
        return replace(task, **changes)

    def start(
        self,
        task: Task | bytes,
        *,
        arguments: Sequence[str] = (),
        environment: Mapping[str, str] | None = None,
        control_group: Path | None = None,
        program: Sequence[str] = ("-m", "podbook_runner"),
    ) -> Started:
        file = self.folder / "task.json"
        file.write_bytes(task if isinstance(task, bytes) else task.to_json())
        # A shell puts itself into the control group and becomes the runner.
        entry = ["sh", "-c", 'echo $$ > "$0/cgroup.procs" && exec "$@"', str(control_group)] if control_group else []
        process = subprocess.Popen(
            [
                *entry,
                *(sys.executable, *program, "--task", str(file), "--attempt", ATTEMPT),
                *("--work-dir", str(self.work), "--termination-log", str(self.termination_log), *arguments),
            ],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            env={**os.environ, **(environment or {})},
        )
        self._processes.append(process)
        return Started(process, self.attempt_folder, self.termination_log)

    def run(self, content: dict[str, Any] | bytes, **changes: Any) -> Finished:
        return self.start(self.task(content, **changes)).wait()

    def close(self) -> None:
        for process in self._processes:
            if process.poll() is None:
                process.kill()
            process.wait()
            if process.stdout is not None:
                process.stdout.close()


@pytest.fixture
def runner(tmp_path: Path) -> Iterator[Runner]:
    """A runner with a store of its own."""
    made = Runner(tmp_path)
    yield made
    made.close()
