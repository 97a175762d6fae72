"""What is kept of a run whatever its notebook holds, and what is said where something could not be kept."""

import codecs
import io
import json
import os
import signal
import sys
import tarfile
from pathlib import Path
from typing import Any

import pytest
from tests.support.notebook_file import code_cell, markdown_cell

from podbook_core.execution.reasons import ExitCode
from podbook_core.execution.task import Destination, Source
from podbook_runner.cells.plain_traceback import plain_traceback
from podbook_runner.html.repair import repaired

from .conftest import PREFIX, Finished, Runner, notebook, save

OK = save("{'ok': 1}")
COLAB = {"application/vnd.jupyter.widget-state+json": {"a1b2": {"model_name": "HBoxModel", "state": {"_dom_classes": []}}}}
"""As Colab saves it: the models without the ``state`` around them that the format asks for."""


def test_widget_metadata_as_colab_leaves_it_costs_nothing(runner: Runner) -> None:
    document = notebook(OK)
    document["metadata"]["widgets"] = COLAB
    done = runner.run(document, html=True, report=True)
    assert done.exit_code == ExitCode.SUCCEEDED
    assert done.manifest.pages is not None
    assert done.manifest.pages.rendered, done.manifest.pages.message
    assert {"report.html", "report-no-input.html", "output.json"} <= done.names


@pytest.mark.parametrize("ids", [["has space / and more than sixty-four characters" + "x" * 30, "b"], ["same", "same"]])
def test_cell_ids_that_the_format_forbids_cost_nothing(runner: Runner, ids: list[str]) -> None:
    document = notebook("print('ran')", OK)
    for cell, name in zip(document["cells"], ids, strict=True):
        cell["id"] = name
    done = runner.run(document, html=True)
    assert done.exit_code == ExitCode.SUCCEEDED, done.printed
    assert done.json("output.json") == {"ok": 1}
    assert done.manifest.pages is not None
    assert done.manifest.pages.rendered, done.manifest.pages.message
    assert "ran" in done.text("report.html")


def test_a_page_is_repaired_no_further_than_needed() -> None:
    state = {"state": {"a": {}}, "version_major": 2, "version_minor": 0}
    document: dict[str, Any] = {
        "metadata": {"widgets": {"good": state, "stale": {"a": {}}, "odd": 7}},
        "cells": [{"id": "fine-1_X"}, {"id": 7}, {"id": "fine-1_X"}, {}],
    }
    done = repaired(document)
    assert done["metadata"] == {"widgets": {"good": state}}
    assert done["cells"] == [{"id": "fine-1_X"}, {"id": "podbook-1"}, {"id": "podbook-2"}, {}]
    assert repaired({"metadata": {"widgets": "none"}, "cells": []}) == {"metadata": {}, "cells": []}


def test_a_page_that_cannot_be_rendered_withholds_nothing_else(runner: Runner) -> None:
    write = "import os, pathlib; pathlib.Path(os.environ['PODBOOK_OUTPUT_DIR'], 'a.csv').write_text('1')"
    done = runner.run(notebook(markdown_cell("![picture](attachment:nowhere.png)"), write, OK), html=True, report=True)
    assert done.exit_code == ExitCode.SUCCEEDED
    assert {"output.json", "notebook.ipynb", "files/a.csv", "log.txt"} <= done.names
    assert done.manifest.pages is not None
    assert not done.manifest.pages.rendered
    assert "\n" not in done.manifest.pages.message


def kill_of_the_renderer(times: int) -> str:
    """A cell that kills the renderer as the system does when memory runs out: the runner's children but the kernel, for a while."""
    return f"""
import os, signal, subprocess, sys
code = '''
import os, signal, time
parent, kernel, killed, end = {{0}}, {{1}}, set(), time.monotonic() + 20
while len(killed) < {times} and time.monotonic() < end:
    for pid in filter(str.isdigit, os.listdir('/proc')):
        try:
            fields = open('/proc/' + pid + '/stat').read().rpartition(')')[2].split()
        except OSError:
            continue
        if int(fields[1]) == parent and int(pid) not in (kernel, os.getpid()) and fields[0] != 'Z' and pid not in killed:
            os.kill(int(pid), signal.SIGKILL)
            killed.add(pid)
    time.sleep(0.01)
'''.format(os.getppid(), os.getpid())
subprocess.Popen([sys.executable, '-c', code], start_new_session=True, env={{}}).pid
import time; time.sleep(1)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="finds the renderer in /proc")
@pytest.mark.parametrize(("times", "rendered"), [(1, True), (2, False)])
def test_a_renderer_that_was_killed_is_started_once_more(runner: Runner, times: int, rendered: bool) -> None:
    done = runner.run(notebook(kill_of_the_renderer(times), OK), html=True)
    assert done.exit_code == ExitCode.SUCCEEDED, done.printed
    assert done.json("output.json") == {"ok": 1}
    assert done.manifest.pages is not None
    assert done.manifest.pages.rendered is rendered, done.manifest.pages.message
    assert ("report.html" in done.names) is rendered
    assert rendered or f"code {-signal.SIGKILL}" in done.manifest.pages.message


def test_the_log_ends_with_the_traceback_of_a_failed_run(runner: Runner) -> None:
    done = runner.run(notebook("print('before')", "def divide(by):\n    return 1 / by\ndivide(0)"))
    before, _, end = done.text("log.txt").partition("the cells ended: CellFailed\n")
    assert "before" in before
    assert "Traceback (most recent call last)" in end
    assert "return 1 / by" in end
    assert end.endswith("ZeroDivisionError: division by zero\n")
    assert "\x1b" not in end


def test_a_traceback_without_colours_and_of_bounded_length() -> None:
    assert plain_traceback("\x1b[0;31mError\x1b[0m\x1b]: no\x1b[1;32m!\n") == "Error\x1b]: no!"
    long = plain_traceback("x" * 1_000_000 + "the end")
    assert long.endswith("xthe end")
    assert len(long) == 16 * 1024


def test_a_progress_bar_leaves_its_last_state_in_log_and_notebook(runner: Runner) -> None:
    bar = "import sys\nprint('START', flush=True)\nfor n in range(20_001):\n    sys.stderr.write(f'\\r{n:5} of 20000 {\"#\" * 100}')\n    n % 500 or sys.stderr.flush()"
    done = runner.run(notebook(bar, OK), html=True)
    assert done.exit_code == ExitCode.SUCCEEDED
    log = done.text("log.txt")
    assert "START\n" in log
    assert log.count(" of 20000") == done.outputs().count(" of 20000") == 1
    assert "20000 of 20000" in log
    assert "20000 of 20000" in done.outputs()
    assert len(done.text("report.html")) < 1_000_000


def test_a_byte_order_mark_is_passed_over(runner: Runner) -> None:
    done = runner.run(
        codecs.BOM_UTF8 + json.dumps(notebook(code_cell("x = 1", "parameters"), save("{'x': x}"))).encode(), parameters={"x": 2}
    )
    assert done.exit_code == ExitCode.SUCCEEDED, done.printed
    assert done.json("output.json") == {"x": 2}


def archive(runner: Runner, *names: str) -> Source:
    data = io.BytesIO()
    with tarfile.open(fileobj=data, mode="w:") as tar:
        for name in names:
            member = tarfile.TarInfo(name)
            member.size = 1
            tar.addfile(member, io.BytesIO(b"x"))
    return runner.source("assets.tar", data.getvalue())


@pytest.mark.parametrize("names", [("a", "a/b"), ("a/b", "a")])
def test_assets_that_clash_are_the_fault_of_the_notebook(runner: Runner, names: tuple[str, ...]) -> None:
    done = runner.run(notebook("1"), assets=archive(runner, *names))
    assert done.exit_code == ExitCode.INVALID_NOTEBOOK
    assert "a file with the path of another one's folder" in done.manifest.message


def told(done: Finished) -> str:
    """All that a caller can be shown of an end."""
    kept = [done.folder / "result.json", done.folder / "log.txt"]
    return json.dumps(done.termination) + "".join(path.read_text() for path in kept if path.exists())


def test_no_message_shows_where_the_server_keeps_its_data(runner: Runner) -> None:
    gone = Source((runner.folder / "gone" / "x").as_uri(), "0" * 64)
    ends = [
        runner.run(notebook("1"), notebook=gone),
        runner.run(notebook("1"), assets=gone),
        runner.start(
            runner.task(
                notebook("1"),
                destination=Destination("directory", (runner.folder / "task.json" / "s").as_uri(), PREFIX),
                publish_timeout_seconds=1,
            )
        ).wait(),
        runner.start(b"{}").wait(),
    ]
    lock = runner.folder / "lock"
    lock.write_text("1")
    ends.append(runner.start(runner.task(notebook("1")), arguments=["--lock-file", str(lock)]).wait())
    runner.work = runner.folder / "task.json" / "w"
    ends.append(runner.start(runner.task(notebook("1"))).wait())
    for done in ends:
        assert done.exit_code != ExitCode.SUCCEEDED
        assert done.termination is not None
        assert str(runner.folder) not in told(done), done.termination


@pytest.mark.skipif(os.geteuid() != 0 or sys.platform != "linux", reason="mounts a small file system")
def test_a_full_disk_after_the_last_cell_is_a_fault_of_the_storage(runner: Runner, tmp_path: Path) -> None:
    small = tmp_path / "small"
    small.mkdir()
    if os.system(f"mount -t tmpfs -o size=2m tmpfs {small}") != 0:  # noqa: S605 - a path of pytest's
        pytest.skip("needs the right to mount")
    try:
        runner.work = small / "w"
        fill = f"with open({str(small / 'fill')!r}, 'wb') as file:\n    try:\n        while True: file.write(b'x' * 4096); file.flush()\n    except OSError: pass"
        done = runner.start(runner.task(notebook(OK, fill))).wait()
        assert done.exit_code == ExitCode.STORAGE_FAILED, done.printed
        assert "No space left on device" in done.printed
        assert str(small) not in told(done)
    finally:
        os.system(f"umount -l {small}")  # noqa: S605
