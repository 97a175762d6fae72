"""SIGTERM at every moment, hostile processes, and the runner's lock."""

import fcntl
import json
import signal
import time
from pathlib import Path

import pytest

from podbook_core.execution.reasons import INTERRUPTED, ExitCode

from .conftest import Runner, notebook, save


def test_sigterm_while_a_cell_runs(runner: Runner) -> None:
    started = runner.start(
        runner.task(notebook(save("'so far'"), "print('begun', flush=True)\nimport time; time.sleep(600)"), html=True)
    )
    started.wait_for(lambda: (started.folder / "progress.json").exists() and "1" in (started.folder / "progress.json").read_text())
    time.sleep(0.5)
    started.terminate()
    done = started.wait()
    assert done.exit_code == ExitCode.INTERRUPTED
    assert done.manifest.outcome == INTERRUPTED
    assert done.manifest.reason is None
    assert done.json("output.json") == "so far"
    assert "Interrupted" in done.text("report.html")
    assert {"notebook.ipynb", "log.txt", "output.json", "report.html"} <= done.names
    assert done.termination is not None
    assert done.termination["reason"] == INTERRUPTED


@pytest.mark.parametrize("delay", [0.0, 0.05, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8])
def test_sigterm_at_any_moment(runner: Runner, delay: float) -> None:
    started = runner.start(runner.task(notebook("1", "2"), html=True))
    # The handler is the program's first act; before it, the interpreter itself is still starting.
    started.wait_for(lambda: (runner.work).exists() and any(runner.work.iterdir()))
    time.sleep(delay)
    started.terminate()
    done = started.wait()
    assert done.exit_code in (ExitCode.INTERRUPTED, ExitCode.SUCCEEDED), done.printed
    assert done.manifest.outcome == (INTERRUPTED if done.exit_code else "Succeeded")
    # What was not fetched yet is not there to be kept.
    assert "notebook.ipynb" in done.names or "before the first cell" in done.manifest.message
    if not done.exit_code:
        assert "report.html" in done.names
    assert list(runner.work.iterdir()) == []


def test_the_manifest_of_an_interrupted_run_comes_before_its_html(runner: Runner) -> None:
    # A document that keeps the renderer busy: the first manifest has to be there long before.
    slow = {"cell_type": "markdown", "id": "slow", "metadata": {}, "source": "*a_" * 40_000}
    started = runner.start(runner.task(notebook("print('be' + 'gun', flush=True)\nimport time; time.sleep(600)", slow), html=True))
    started.wait_for((started.folder / "progress.json").exists)
    time.sleep(0.5)
    started.terminate()
    started.wait_for((started.folder / "result.json").exists, 20)
    first = json.loads((started.folder / "result.json").read_text())
    assert first["outcome"] == INTERRUPTED
    started.process.kill()
    assert "report.html" not in {item["name"] for item in first["files"]}


def _leave(sentinel: Path, source: str) -> str:
    """A cell that knows where its process is to write its id."""
    return f"sentinel = {str(sentinel)!r}\n{source}"


_BEAT = (
    "import os, signal, time\n"
    "def beat():\n"
    "    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):\n"
    "        signal.signal(number, signal.SIG_IGN)\n"
    "    with open(sentinel + '.new', 'w') as file:\n"
    "        file.write(str(os.getpid()))\n"
    "    os.rename(sentinel + '.new', sentinel)\n"
    "    while True:\n"
    "        time.sleep(0.05)\n"
)


@pytest.mark.parametrize("end", ["success", "timeout"])
def test_no_process_outlives_the_run(runner: Runner, end: str) -> None:
    sentinel = runner.folder / "beat"
    cell = _leave(
        sentinel,
        _BEAT
        + "if os.fork() == 0:\n    os.setsid()\n    if os.fork() == 0:\n        os.closerange(0, 3); beat()\n    os._exit(0)\n"
        + "while not os.path.exists(sentinel): time.sleep(0.01)\n"
        + ("" if end == "success" else "sentinel += '.kernel'; beat()"),
    )
    done = runner.run(notebook(cell), timeout_seconds=60 if end == "success" else 5)
    assert done.exit_code == (ExitCode.SUCCEEDED if end == "success" else ExitCode.TIMED_OUT), done.printed
    pid = int(sentinel.read_text())
    stat = Path(f"/proc/{pid}/stat")
    assert not stat.exists() or stat.read_text().rpartition(")")[2].split()[0] == "Z"


@pytest.mark.parametrize(
    "source",
    [
        "import sys; sys.stdout.close(); sys.stderr.close()",
        "import os; os.close(1); os.close(2)",
        "import os; os.closerange(0, 4096); import time; time.sleep(60)",
        "import gc, time\n[s.close() for s in gc.get_objects() if type(s).__name__ == 'Socket']; time.sleep(60)",
    ],
    ids=["streams", "descriptors", "everything", "sockets"],
)
def test_a_cell_that_cuts_its_own_lines_ends_anyhow(runner: Runner, source: str) -> None:
    done = runner.run(notebook(source, "1"), timeout_seconds=6)
    assert done.exit_code in (
        ExitCode.SUCCEEDED,
        ExitCode.CELL_FAILED,
        ExitCode.KERNEL_DIED,
        ExitCode.TIMED_OUT,
    ), done.printed
    assert done.manifest.outcome
    assert "notebook.ipynb" in done.names


def test_a_cell_that_kills_its_runner(runner: Runner) -> None:
    started = runner.start(runner.task(notebook("import os; os.kill(os.getppid(), 9)\nimport time; time.sleep(600)")))
    done = started.wait()
    assert done.exit_code == -signal.SIGKILL
    assert not (done.folder / "result.json").exists()


def test_the_lock_is_held_for_life_and_by_nobody_else(runner: Runner) -> None:
    lock = runner.folder / "lock"
    started = runner.start(runner.task(notebook("import time; time.sleep(600)")), arguments=["--lock-file", str(lock)])
    started.wait_for((started.folder / "progress.json").exists)
    assert int(lock.read_text()) == started.process.pid
    with lock.open() as file, pytest.raises(BlockingIOError):
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    second = runner.start(runner.task(notebook("1")), arguments=["--lock-file", str(lock)]).wait()
    assert second.exit_code == ExitCode.CONFIGURATION_ERROR
    assert "another runner holds the lock" in second.printed
    assert not (second.folder / "result.json").exists()
    started.process.kill()
    started.process.wait()
    with lock.open() as file:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)


def test_a_kernel_ends_when_its_runner_is_killed(runner: Runner) -> None:
    sentinel = runner.folder / "pid"
    started = runner.start(
        runner.task(notebook(f"import os, time\nopen({str(sentinel)!r}, 'w').write(str(os.getpid()))\ntime.sleep(600)"))
    )
    started.wait_for(lambda: sentinel.exists() and sentinel.read_text() != "")
    pid = int(sentinel.read_text())
    started.process.kill()
    started.process.wait()
    end = time.monotonic() + 20
    while _runs(pid):
        assert time.monotonic() < end, "the kernel outlived its runner"
        time.sleep(0.05)


def _runs(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False
