"""Each way a notebook can fail ends with its own reason and exit code, and keeps what ran."""

import json
import os
import time
from pathlib import Path

import pytest
from tests.support.notebook_file import code_cell, markdown_cell

from podbook_core.execution.manifest import CellError
from podbook_core.execution.reasons import ExitCode, outcome_of_exit_code

from .conftest import Finished, Runner, notebook, save


def assert_ended(done: Finished, exit_code: ExitCode) -> None:
    """The exit code, the manifest and the termination message say the same."""
    assert done.exit_code == exit_code, done.printed
    assert done.manifest.reason == outcome_of_exit_code(exit_code)
    assert done.termination is not None
    assert done.termination["reason"] == done.manifest.outcome
    assert done.termination["message"] == done.manifest.message != ""


def test_a_raising_cell(runner: Runner) -> None:
    done = runner.run(
        notebook(
            markdown_cell("text"), code_cell("d = 1", "parameters"), save("{'partial': 1}"), "1 / d", "print('un' + 'reached')"
        ),
        parameters={"d": 0},
        html=True,
        report=True,
    )
    assert_ended(done, ExitCode.CELL_FAILED)
    error = done.manifest.error
    assert error is not None
    assert (error.ename, error.evalue) == ("ZeroDivisionError", "division by zero")
    assert error.cell is not None
    assert error.cell == 3
    assert (done.manifest.cells_completed, done.manifest.cells_total) == (2, 4)
    assert "unreached" not in done.outputs()
    assert "ZeroDivisionError" in done.text("report.html").split("<body")[1]
    assert "ZeroDivisionError" in done.text("report-no-input.html").split("<body")[1]
    assert done.json("output.json") == {"partial": 1}
    assert done.termination == {
        "reason": "CellFailed",
        "message": done.manifest.message,
        "cell": error.cell,
        "ename": "ZeroDivisionError",
        "evalue": "division by zero",
    }
    assert done.json("notebook.ipynb")["cells"][-1]["metadata"]["papermill"]["status"] == "pending"


@pytest.mark.parametrize("argument", ["1", "'no data'", "True"])
def test_an_exit_with_a_complaint(runner: Runner, argument: str) -> None:
    done = runner.run(notebook(f"import sys; sys.exit({argument})"))
    assert_ended(done, ExitCode.CELL_FAILED)
    assert done.manifest.error is not None
    assert done.manifest.error.ename == "SystemExit"


def test_a_cell_that_asks_for_input(runner: Runner) -> None:
    done = runner.run(notebook("input('name? ')"))
    assert_ended(done, ExitCode.CELL_FAILED)
    assert done.manifest.error is not None
    assert done.manifest.error.ename == "StdinNotImplementedError"


@pytest.mark.parametrize(
    ("source", "told"),
    [
        ("os._exit(3)", "exit code 3"),
        ("os.kill(os.getpid(), signal.SIGKILL)", "SIGKILL"),
        ("ctypes.string_at(0)", "SIGSEGV"),
    ],
    ids=["exit", "kill", "segfault"],
)
def test_kernel_death(runner: Runner, source: str, told: str) -> None:
    # What a process has not handed to the system dies with it: the pause lets the kernel send what was printed.
    cell = f"import ctypes, os, signal, time\nprint('before', flush=True); time.sleep(0.3)\n{source}"
    done = runner.run(notebook(save("1"), cell, "print('un' + 'reached')"), html=True)
    assert_ended(done, ExitCode.KERNEL_DIED)
    assert told in done.manifest.message
    assert "before" in done.outputs()
    assert "unreached" not in done.outputs()
    assert "KernelDied" in done.text("report.html")
    assert done.json("output.json") == 1


def test_a_kernel_that_never_starts(runner: Runner) -> None:
    kernels = runner.folder / "jupyter" / "kernels" / "broken"
    kernels.mkdir(parents=True)
    spec = {"argv": ["python", "-c", "raise SystemExit('no such module')"], "display_name": "b", "language": "python"}
    (kernels / "kernel.json").write_text(json.dumps(spec))
    done = runner.start(
        runner.task(notebook("1", kernel="broken")), environment={"JUPYTER_PATH": str(runner.folder / "jupyter")}
    ).wait()
    assert_ended(done, ExitCode.KERNEL_DIED)
    assert "no such module" in done.manifest.message
    assert done.sources() == ["1"]


def test_a_kernel_whose_program_is_missing(runner: Runner) -> None:
    kernels = runner.folder / "jupyter" / "kernels" / "gone"
    kernels.mkdir(parents=True)
    (kernels / "kernel.json").write_text(json.dumps({"argv": ["/no/such/program"], "display_name": "g", "language": "x"}))
    done = runner.start(
        runner.task(notebook("1", kernel="gone")), environment={"JUPYTER_PATH": str(runner.folder / "jupyter")}
    ).wait()
    assert_ended(done, ExitCode.CONFIGURATION_ERROR)
    assert "/no/such/program" in done.manifest.message


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (b"{broken", "not valid JSON"),
        (b"[]", "not a notebook"),
        (b'{"a": 1}', "not a notebook"),
        (b"\xff\xfe\x00", "not valid JSON"),
        (b"[" * 100_000, "nested too deeply"),
        (
            json.dumps(notebook("1")).replace('"python"}', '"python", "deep": ' + "[" * 600 + "]" * 600 + "}").encode(),
            "at most 200",
        ),
        (json.dumps({"nbformat": 3, "metadata": {}, "worksheets": []}).encode(), "jupyter nbconvert --to notebook --nbformat 4"),
        (json.dumps({"nbformat": 5, "metadata": {}, "cells": []}).encode(), "formats up to 4"),
        (json.dumps({"nbformat": 4, "metadata": {}}).encode(), "no list of cells"),
        (json.dumps(notebook("1", kernel="ir")).replace('"language": "python"', '"language": "R"').encode(), "installed: python3"),
        (json.dumps(notebook({"cell_type": "code"})).encode(), "cell 0 of the notebook has no source"),
        (json.dumps(notebook({"cell_type": "heading", "source": ""})).encode(), "not a code, markdown or raw cell"),
    ],
)
def test_what_is_no_runnable_notebook(runner: Runner, content: bytes, told: str) -> None:
    done = runner.run(content)
    assert_ended(done, ExitCode.INVALID_NOTEBOOK)
    assert told in done.manifest.message
    assert (done.folder / "notebook.ipynb").read_bytes() == content


def test_a_language_papermill_cannot_parameterise(runner: Runner) -> None:
    kernels = runner.folder / "jupyter" / "kernels" / "odd"
    kernels.mkdir(parents=True)
    spec = {"argv": ["python", "-m", "ipykernel_launcher", "-f", "{connection_file}"], "display_name": "o", "language": "odd"}
    (kernels / "kernel.json").write_text(json.dumps(spec))
    task = runner.task(notebook("1", kernel="odd"), parameters={"x": 1})
    done = runner.start(task, environment={"JUPYTER_PATH": str(runner.folder / "jupyter")}).wait()
    assert_ended(done, ExitCode.INVALID_NOTEBOOK)
    assert "odd" in done.manifest.message


@pytest.mark.parametrize("name", ["a b", "x; import os", "class", "", "1st"])
def test_parameters_that_are_no_names(runner: Runner, name: str) -> None:
    done = runner.run(notebook("print('un' + 'reached')"), parameters={name: 1})
    assert_ended(done, ExitCode.INVALID_PARAMETERS)
    assert "unreached" not in done.outputs()


def test_nothing_saved_although_promised(runner: Runner) -> None:
    done = runner.run(notebook("1"), output={"type": "object"})
    assert_ended(done, ExitCode.INVALID_OUTPUT)
    assert "save_output" in done.manifest.message


def test_output_that_breaks_its_contract(runner: Runner) -> None:
    schema = {"type": "object", "properties": {"rate": {"type": "number", "maximum": 1}}, "required": ["rate"]}
    done = runner.run(notebook(save("{'rate': 3}")), output=schema)
    assert_ended(done, ExitCode.INVALID_OUTPUT)
    assert "/rate" in done.manifest.message
    assert runner.run(notebook(save("{'rate': 0.5}")), output=schema).exit_code == ExitCode.SUCCEEDED


def test_a_contract_that_stalls_its_validator(runner: Runner) -> None:
    done = runner.run(notebook(save("'a' * 40 + '!'")), output={"type": "string", "pattern": "^(a+)+$"})
    assert_ended(done, ExitCode.INVALID_OUTPUT)
    assert "within 2 s" in done.manifest.message


def test_output_that_json_cannot_say(runner: Runner) -> None:
    done = runner.run(notebook(save("{'rate': float('nan')}")))
    assert_ended(done, ExitCode.INVALID_OUTPUT)
    assert "NaN" in done.manifest.message


def test_output_too_large(runner: Runner) -> None:
    done = runner.run(notebook(save("'x' * 2000")), max_output_bytes=1000)
    assert_ended(done, ExitCode.INVALID_OUTPUT)
    assert "at most 1000" in done.manifest.message
    assert "output.json" not in done.names


def test_too_many_and_too_large_files(runner: Runner) -> None:
    write = "import os\nfor n in range(4):\n    open(os.environ['PODBOOK_OUTPUT_DIR'] + f'/{n}', 'w').write('x' * 100)"
    done = runner.run(notebook(write), max_files=3)
    assert_ended(done, ExitCode.INVALID_OUTPUT)
    assert "more than 3 output files" in done.manifest.message
    done = runner.run(notebook(write), max_files_bytes=399)
    assert_ended(done, ExitCode.INVALID_OUTPUT)
    assert "more than 399 bytes" in done.manifest.message
    assert runner.run(notebook(write), max_files_bytes=400, max_files=4).exit_code == ExitCode.SUCCEEDED


def test_links_and_pipes_are_not_published(runner: Runner) -> None:
    done = runner.run(
        notebook(
            "import os\nos.chdir(os.environ['PODBOOK_OUTPUT_DIR'])\n"
            "os.symlink('/etc/passwd', 'link'); os.symlink('/etc', 'folder'); os.mkfifo('pipe')\nopen('real', 'w').write('r')"
        )
    )
    assert done.exit_code == ExitCode.SUCCEEDED, done.printed
    assert {name for name in done.names if name.startswith("files/")} == {"files/real"}
    assert "'link' is not a regular file" in done.text("log.txt")


def test_endless_printing_is_cut_off(runner: Runner) -> None:
    done = runner.run(notebook("while True:\n    print('x' * 1000)"), max_notebook_bytes=300_000, html=True)
    assert_ended(done, ExitCode.CELL_FAILED)
    assert done.manifest.error is not None
    assert done.manifest.error.ename == "OutputLimitExceeded"
    notebook_file = done.manifest.file("notebook.ipynb")
    assert notebook_file is not None
    assert 1000 < notebook_file.size <= 300_000
    assert "xxxx" in done.outputs()
    assert "report.html" in done.names


@pytest.mark.slow
def test_one_huge_output_is_cut_off(runner: Runner) -> None:
    done = runner.run(notebook("print('x' * 60_000_000)"), max_notebook_bytes=300_000)
    assert_ended(done, ExitCode.CELL_FAILED)
    assert done.manifest.error is not None
    assert done.manifest.error.ename == "OutputLimitExceeded"


def test_endless_loop(runner: Runner) -> None:
    done = runner.run(notebook("print('begun', flush=True)\nwhile True:\n    pass"), timeout_seconds=4, html=True)
    assert_ended(done, ExitCode.TIMED_OUT)
    assert "did not end within 4 s" in done.manifest.message
    assert "begun" in done.outputs()
    assert "TimedOut" in done.text("report.html")


def test_memory_over_the_limit(runner: Runner) -> None:
    done = runner.run(
        notebook(
            "kept = 'a result'\nprint(kept)",
            "import time\nheap = []\nwhile True:\n    heap.append(bytearray(8_000_000)); time.sleep(0.02)",
        ),
        memory_limit_bytes=300 * 1024 * 1024,
        html=True,
    )
    assert_ended(done, ExitCode.OUT_OF_MEMORY)
    assert "limit is 300 MiB" in done.manifest.message
    assert "a result" in done.text("report.html")


def test_a_manifest_takes_long_and_odd_errors(runner: Runner) -> None:
    done = runner.run(notebook("class E(Exception): pass\nE.__name__ = 'N' * 1000\nraise E('\\x00\\ud83d \\U0001f600' * 5000)"))
    assert_ended(done, ExitCode.CELL_FAILED)
    assert isinstance(done.manifest.error, CellError)
    assert len(done.manifest.error.evalue) <= 1024
    assert (runner.termination_log).stat().st_size <= 4096


def test_time_is_up_before_the_kernel_is_ready(runner: Runner) -> None:
    done = runner.run(notebook("1"), timeout_seconds=0.1)
    assert_ended(done, ExitCode.TIMED_OUT)
    assert done.manifest.error is not None
    assert done.manifest.error.cell is None


def test_many_small_outputs_over_the_limit(runner: Runner) -> None:
    cell = "from IPython.display import display\nimport time\nfor n in range(100):\n    display('x' * 10_000); time.sleep(0.005)"
    done = runner.run(notebook(cell), max_notebook_bytes=200_000)
    assert_ended(done, ExitCode.CELL_FAILED)
    assert done.manifest.error is not None
    assert done.manifest.error.ename == "OutputLimitExceeded"
    assert "xxxx" in done.outputs()


def test_a_document_nbconvert_cannot_render(runner: Runner) -> None:
    done = runner.run(notebook(markdown_cell("![picture](attachment:nowhere.png)"), "1"), html=True)
    assert done.exit_code == ExitCode.SUCCEEDED
    assert {"notebook.ipynb", "output.json"} <= done.names
    assert done.manifest.pages is not None
    assert not done.manifest.pages.rendered
    assert "could not be rendered" in done.manifest.pages.message
    assert "report.html" not in done.names


def _control_group(limit: int) -> Path:
    """A control group (version 1) with a memory limit of its own."""
    folder = Path("/sys/fs/cgroup/memory") / f"podbook-test-{os.getpid()}"
    try:
        folder.mkdir()
        (folder / "memory.limit_in_bytes").write_text(str(limit))
    except OSError:
        pytest.skip("needs the right to create control groups of version 1")
    return folder


def _remove_control_group(folder: Path) -> None:
    """As soon as it is empty: what was killed takes a moment to give back its memory."""
    end = time.monotonic() + 20
    while True:
        try:
            folder.rmdir()
        except OSError:
            if time.monotonic() > end:
                raise
            time.sleep(0.05)
        else:
            return


@pytest.mark.parametrize("pace", ["slow", "fast"])
def test_memory_of_the_container_is_full(runner: Runner, pace: str) -> None:
    folder = _control_group(400 * 1024 * 1024)
    grow = (
        "for n in range(1000):\n    heap.append(bytearray(4_000_000)); time.sleep(0.01)"
        if pace == "slow"
        else "bytearray(4_000_000_000)"
    )
    try:
        task = runner.task(notebook("print('kept')", f"import time\nheap = []\n{grow}"))
        started = runner.start(task, control_group=folder)
        done = started.wait()
    finally:
        _remove_control_group(folder)
    assert_ended(done, ExitCode.OUT_OF_MEMORY)
    assert "kept" in done.outputs()


def test_messages_that_are_no_valid_output(runner: Runner) -> None:
    cell = (
        "from IPython.display import display\nfrom ipykernel.kernelapp import IPKernelApp\n"
        "kernel = get_ipython().kernel\n"
        "display({'image/svg+xml': 5}, raw=True)\n"
        "for content in ({}, {'data': 5}, {'data': {}, 'metadata': 3, 'transient': 7}, {'name': 5, 'text': {}}, {'text': None}):\n"
        "    for kind in ('stream', 'display_data', 'update_display_data', 'error', 'clear_output', 'comm_open', 'comm_msg', 'nonsense'):\n"
        "        kernel.session.send(kernel.iopub_socket, kind, content, parent=kernel.get_parent())\n"
        "kernel.iopub_socket.send_multipart([b'no', b'message'])\n"
        "print('still', 'here')"
    )
    done = runner.run(notebook(cell, "print('and', 'here')"), html=True)
    assert done.exit_code == ExitCode.SUCCEEDED, done.printed
    assert "still here" in done.outputs()
    assert "and here" in done.outputs()
    assert "not a valid output" in done.text("log.txt")


@pytest.mark.parametrize("levels", [250, 600])  # a kernel of 3.12 cannot send what is much deeper
def test_an_output_of_absurd_depth_is_left_out_and_the_rest_counts(runner: Runner, levels: int) -> None:
    deep = f"import sys; sys.setrecursionlimit(100_000)\nv = 1\nfor _ in range({levels}): v = [v]\n"
    show = "from IPython.display import display\ndisplay({'application/json': v, 'text/plain': 'deep'}, raw=True)\nprint('after')"
    done = runner.run(notebook(deep + show, save("'fine'")), html=True)
    assert done.exit_code == 0, done.printed
    assert "after" in done.outputs()
    assert "application/json" not in done.outputs()
    assert done.json("output.json") == "fine"
