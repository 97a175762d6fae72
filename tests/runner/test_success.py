"""The ordinary run: parameters in, notebook, output, HTML and files out."""

import hashlib
import io
import json
import re
import tarfile
from pathlib import Path

import pytest
from tests.support.notebook_file import code_cell, markdown_cell

from podbook_core.execution.reasons import ExitCode, Reason

from .conftest import UID, Runner, notebook, save


def test_two_cells_with_html(runner: Runner) -> None:
    done = runner.run(
        notebook(markdown_cell("# Sums"), code_cell("x = 1\ny = 2", "parameters"), "print('sum', x + y)"),
        parameters={"x": 40},
        html=True,
        report=True,
    )
    assert done.exit_code == ExitCode.SUCCEEDED, done.printed
    manifest = done.manifest
    assert (manifest.outcome, manifest.reason, manifest.error) == ("Succeeded", Reason.SUCCEEDED, None)
    assert (manifest.cells_completed, manifest.cells_total) == (2, 2)
    assert (manifest.uid, manifest.attempt) == (UID, "attempt-1")
    assert "sum 42" in done.outputs()
    assert "sum 42" in done.text("report.html")
    assert "sum 42" in done.text("report-no-input.html")
    assert "highlight hl-ipython3" in done.text("report.html")
    assert "highlight hl-ipython3" not in done.text("report-no-input.html")
    assert "sum 42" in done.text("log.txt")
    assert done.json("progress.json") == {"completed": 2, "total": 2, "cell": 2}
    assert done.json("output.json") is None
    assert done.termination == {"reason": "Succeeded", "message": "", "cell": None, "ename": None, "evalue": None}
    assert done.printed == "podbook_runner: Succeeded\n"


def test_manifest_lists_what_is_stored(runner: Runner) -> None:
    done = runner.run(notebook("open(__import__('os').environ['PODBOOK_OUTPUT_DIR'] + '/a.txt', 'w').write('hello')"))
    stored = {path.relative_to(done.folder).as_posix(): path.read_bytes() for path in done.folder.rglob("*") if path.is_file()}
    stored.pop("result.json")
    listed = {item.name: (item.size, item.sha256) for item in done.manifest.files}
    assert listed == {name: (len(data), hashlib.sha256(data).hexdigest()) for name, data in stored.items()}
    assert stored["files/a.txt"] == b"hello"


def test_html_needs_nothing_from_elsewhere(runner: Runner) -> None:
    done = runner.run(notebook(markdown_cell("$x^2$\n\n```mermaid\ngraph TD; A-->B;\n```"), "1"), html=True, report=True)
    for name in ("report.html", "report-no-input.html"):
        page = done.text(name)
        assert re.findall(r"""(?:src|href)\s*=\s*["']?(?:https?:)?//[^"'> ]+""", page) == []
        assert re.findall(r"""(?:import|url|fetch|require)\s*\(\s*["']?(?:https?:)?//[^"') ]+""", page) == []
        assert "cdnjs" not in page


def test_html_only_where_asked(runner: Runner) -> None:
    done = runner.run(notebook("1"), html=False, report=True)
    assert "report-no-input.html" in done.names
    assert "report.html" not in done.names


def test_parameters_go_on_top_without_a_tagged_cell(runner: Runner) -> None:
    done = runner.run(
        notebook("print(name, flag, nothing, items)"),
        parameters={
            "name": 'quote " and \\ and {brace}',
            "flag": True,
            "nothing": None,
            "items": [1, {"a": 2.5}],
        },
    )
    assert done.sources()[0].startswith("# Parameters\n")
    assert """quote " and \\ and {brace} True None [1, {'a': 2.5}]""" in done.text("log.txt")


@pytest.mark.parametrize(
    ("source", "ran_on"),
    [
        ("import sys; sys.exit(0)", False),
        ("import sys; sys.exit()", False),
        ("import sys; sys.exit(None)", False),
        ("raise SystemExit", False),
        ("exit()", False),
        ("try:\n    raise SystemExit(3)\nexcept SystemExit:\n    pass", True),
    ],
)
def test_clean_exit_ends_the_notebook_early(runner: Runner, source: str, ran_on: bool) -> None:
    done = runner.run(notebook(save("7"), source, "print('one' + ' more')"))
    assert done.exit_code == ExitCode.SUCCEEDED, done.printed
    assert done.json("output.json") == 7
    assert ("one more" in done.outputs()) is ran_on
    assert done.manifest.cells_completed == (3 if ran_on else 2)


def test_a_cell_that_may_fail_does_not_fail_the_run(runner: Runner) -> None:
    done = runner.run(notebook(code_cell("1/0", "raises-exception"), "print('went', 'on')"))
    assert done.exit_code == ExitCode.SUCCEEDED, done.printed
    assert "went on" in done.outputs()
    assert len(done.sources()) == 2


def test_assets_inputs_and_files(runner: Runner) -> None:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as tar:
        for name, content in {"lib/shapes.py": b"def area(a):\n    return a * a\n", "data/n.txt": b"12"}.items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            tar.addfile(member, io.BytesIO(content))
    done = runner.run(
        notebook(
            "import os, pathlib\nfrom lib.shapes import area\n"
            "picture = pathlib.Path(os.environ['PODBOOK_INPUT_DIR'], 'in put.bin').read_bytes()\n"
            "out = pathlib.Path(os.environ['PODBOOK_OUTPUT_DIR'])\n"
            "(out / 'deep' / 'er').mkdir(parents=True)\n"
            "(out / 'deep' / 'er' / 'flipped.bin').write_bytes(picture[::-1])\n"
            "print('area', area(int(open('data/n.txt').read())))"
        ),
        assets=runner.source("assets.tar", buffer.getvalue()),
        inputs=(runner.input("in put.bin", b"\x00\x01\x02"),),
    )
    assert done.exit_code == ExitCode.SUCCEEDED, done.printed
    assert "area 144" in done.text("log.txt")
    assert (done.folder / "files/deep/er/flipped.bin").read_bytes() == b"\x02\x01\x00"


@pytest.mark.parametrize(
    ("name", "kind"), [("../out.txt", tarfile.REGTYPE), ("/etc/out.txt", tarfile.REGTYPE), ("link", tarfile.SYMTYPE)]
)
def test_assets_stay_below_the_working_directory(runner: Runner, name: str, kind: bytes) -> None:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as tar:
        member = tarfile.TarInfo(name)
        member.type, member.linkname = kind, "/etc/passwd"
        tar.addfile(member)
    done = runner.run(notebook("1"), assets=runner.source("assets.tar", buffer.getvalue()))
    assert done.exit_code == ExitCode.INVALID_NOTEBOOK, done.printed
    assert name in done.manifest.message


def test_files_of_exit_handlers_are_published(runner: Runner) -> None:
    done = runner.run(
        notebook(
            "import atexit, os, pathlib\n"
            "atexit.register(lambda: pathlib.Path(os.environ['PODBOOK_OUTPUT_DIR'], 'late.txt').write_text('late'))"
        )
    )
    assert done.text("files/late.txt") == "late"


def test_the_kernel_sees_a_clean_environment(runner: Runner) -> None:
    task = runner.task(notebook("import os, json\nprint('@@' + 'env' + json.dumps(dict(os.environ)))\nprint('CWD', os.getcwd())"))
    done = runner.start(
        task, environment={"PODBOOK_TASK": "/etc/task.json", "PODBOOK_ATTEMPT": "x", "TEAM_TOKEN": "for the notebook"}
    ).wait()
    log = done.text("log.txt")
    seen = json.loads(log.split("@@env")[1].splitlines()[0])
    assert {name for name in seen if name.startswith("PODBOOK_")} == {
        "PODBOOK_INPUT_DIR",
        "PODBOOK_OUTPUT_DIR",
        "PODBOOK_EXECUTION",
        "PODBOOK_UID",
    }
    assert seen["TEAM_TOKEN"] == "for the notebook"
    assert (seen["PODBOOK_EXECUTION"], seen["PODBOOK_UID"]) == ("two-cells-1", UID)
    for name in ("HOME", "IPYTHONDIR", "JUPYTER_RUNTIME_DIR", "MPLCONFIGDIR", "XDG_CACHE_HOME"):
        assert Path(seen[name]).is_relative_to(runner.work.resolve())
    assert list(runner.work.iterdir()) == [], "the runner leaves nothing behind"


def test_streams_are_merged_and_paths_removed(runner: Runner) -> None:
    done = runner.run(
        notebook("import sys, time\nfor n in range(5):\n    print(n, flush=True); time.sleep(0.02)\nprint('e', file=sys.stderr)")
    )
    document = done.json("notebook.ipynb")
    assert [(out["name"], out["text"]) for out in document["cells"][0]["outputs"]] == [
        ("stdout", "0\n1\n2\n3\n4\n"),
        ("stderr", "e\n"),
    ]
    assert "input_path" not in document["metadata"]["papermill"]
    assert "output_path" not in document["metadata"]["papermill"]
    assert str(runner.work) not in done.text("notebook.ipynb")


def test_a_long_working_directory_still_fits_a_socket(runner: Runner) -> None:
    runner.work = runner.folder / ("d" * 80) / ("e" * 80)
    done = runner.run(notebook("print('fits')"))
    assert done.exit_code == ExitCode.SUCCEEDED, done.printed


@pytest.mark.slow
def test_output_waits_for_a_busy_runner(runner: Runner) -> None:
    """Ipykernel drops output when a thousand messages wait; here the runner is held up until all are sent."""
    done = runner.run(
        notebook(
            "import os, signal, threading\nfrom IPython.display import display\n"
            "os.kill(os.getppid(), signal.SIGSTOP)\n"
            "threading.Timer(2, os.kill, (os.getppid(), signal.SIGCONT)).start()\n"
            "for n in range(4000):\n    display(n)",
            "'the namespace is clean' if 'app' not in dir() else dir()",
        )
    )
    assert done.exit_code == ExitCode.SUCCEEDED, done.printed
    cells = done.json("notebook.ipynb")["cells"]
    assert [out["data"]["text/plain"] for out in cells[0]["outputs"]] == [str(n) for n in range(4000)]
    assert "the namespace is clean" in done.outputs()


def test_a_display_is_updated_from_a_later_cell(runner: Runner) -> None:
    done = runner.run(
        notebook(
            "from IPython.display import display\nimport time\n"
            "for n in range(3):\n    print(n, flush=True); time.sleep(0.05)\n"
            "handle = display('old', display_id=True)",
            "handle.update('new'); 1",
        )
    )
    assert done.exit_code == ExitCode.SUCCEEDED, done.printed
    outputs = done.json("notebook.ipynb")["cells"][0]["outputs"]
    assert outputs[0]["text"] == "0\n1\n2\n"
    assert outputs[1]["data"]["text/plain"] == "'new'"


def test_output_in_an_updated_display_counts(runner: Runner) -> None:
    scrap = "{'application/scrapbook.scrap.text+json': {'name': 'nbschema_outputs', 'data': '%d'}}"
    done = runner.run(
        notebook(
            "from IPython.display import display\n"
            f"handle = display({scrap % 1}, raw=True, display_id='o')\ndisplay({scrap % 2}, raw=True, display_id='o', update=True)"
        ),
        html=True,
    )
    assert done.json("output.json") == 2


def test_output_that_was_cleared_does_not_count(runner: Runner) -> None:
    done = runner.run(
        notebook(
            "from IPython.display import clear_output, display\n"
            "for n in range(20):\n    clear_output(wait=True); display({'text/plain': str(n) * 50_000}, raw=True)"
        ),
        max_notebook_bytes=300_000,
    )
    assert done.exit_code == ExitCode.SUCCEEDED, done.printed
    assert len(done.text("notebook.ipynb")) > 100_000


@pytest.mark.slow
def test_the_log_is_stored_while_a_cell_runs(runner: Runner) -> None:
    started = runner.start(runner.task(notebook("print('half', 'way', flush=True)\nimport time; time.sleep(600)")))
    started.wait_for(lambda: (started.folder / "log.txt").exists() and "half way" in (started.folder / "log.txt").read_text())
    assert json.loads((started.folder / "progress.json").read_text()) == {"completed": 0, "total": 1, "cell": 0}
    started.terminate()
    started.wait()
