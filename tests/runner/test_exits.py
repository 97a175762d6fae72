"""How a notebook may end itself, and which of these is a failure; where it failed, counted in the notebook as it was published."""

import json

import pytest
from tests.support.notebook_file import code_cell, markdown_cell

from podbook_core.execution.reasons import ExitCode

from .conftest import Runner, notebook, save

AFTER = "raise RuntimeError('the rest must not run')"


@pytest.mark.parametrize(
    ("source", "evalue"),
    [
        ("exit(1)", "1"),
        ("quit('no data')", "no data"),
        ("import sys; sys.exit(3)", "3"),
        ("def f():\n    exit(2)\nf()", "2"),
        ("raise SystemExit('stopped')", "stopped"),
        ("exit(ValueError('no data'))", "no data"),
        ("exit({'code': {1}})", "{'code': {1}}"),
        ("%%time\nexit(4)", "4"),
        ("%%capture\nimport sys; sys.exit(7)", "7"),
        ("get_ipython().run_cell('exit(5)')", "5"),
        ("async def f():\n    import sys; sys.exit(6)\nawait f()", "6"),
    ],
)
def test_an_exit_with_a_status_or_a_message_is_a_failure(runner: Runner, source: str, evalue: str) -> None:
    done = runner.run(notebook("x = 1", source, AFTER))
    assert done.exit_code == ExitCode.CELL_FAILED
    assert done.manifest.error is not None
    assert (done.manifest.error.cell, done.manifest.error.ename, done.manifest.error.evalue) == (1, "SystemExit", evalue)
    assert '"ename": "SystemExit"' in done.outputs()


@pytest.mark.parametrize(
    "source", ["exit()", "quit(0)", "exit", "import sys; sys.exit()", "exit(None)", "exit(True)", "raise SystemExit"]
)
def test_an_exit_without_a_complaint_is_a_clean_end(runner: Runner, source: str) -> None:
    done = runner.run(notebook(save("{'ok': 1}"), source, AFTER))
    assert done.exit_code == ExitCode.SUCCEEDED
    assert done.json("output.json") == {"ok": 1}


def test_an_exception_that_a_magic_swallows_is_a_failure(runner: Runner) -> None:
    done = runner.run(notebook("x = 1", "%%capture\n1 / 0", AFTER))
    assert done.exit_code == ExitCode.CELL_FAILED
    assert done.manifest.error is not None
    assert (done.manifest.error.cell, done.manifest.error.ename) == (1, "ZeroDivisionError")
    assert "ZeroDivisionError" in done.text("log.txt")
    expected = runner.run(notebook(code_cell("%%capture\n1 / 0", "raises-exception"), save("{'ok': 1}")))
    assert expected.exit_code == ExitCode.SUCCEEDED


def test_cells_are_counted_in_the_published_notebook(runner: Runner) -> None:
    cells = (markdown_cell("# Title"), code_cell("x = 1", "parameters"), markdown_cell("text"), "y = x", "1 / 0", "2")
    done = runner.run(notebook(*cells), parameters={"x": 2})
    assert done.manifest.error is not None
    assert done.manifest.error.cell == 4
    assert done.manifest.message.startswith("cell 4 (In [")
    assert (done.manifest.cells_completed, done.manifest.cells_total) == (2, 4)
    assert json.loads(done.text("progress.json"))["cell"] == 4


def test_a_notebook_that_was_parameterised_before_counts_the_same(runner: Runner) -> None:
    cells = (code_cell("x = 1", "parameters"), code_cell("x = 7", "injected-parameters"), "1 / 0")
    done = runner.run(notebook(*cells), parameters={"x": 2})
    assert done.manifest.error is not None
    assert done.manifest.error.cell == 2
    assert done.manifest.cells_total == 3


def test_one_malformed_mime_entry_costs_that_entry_only(runner: Runner) -> None:
    source = """
from IPython.display import display
display({'text/plain': 'the text', 'image/png': 'aGVsbG8=', 'application/vnd.custom.v5.json': {'mark': 'bar'},
         'application/vnd.custom.v5+json': {'mark': 'bar'}, 'text/html': ['a', 'b']}, raw=True)
display({'text/plain': 7, 'image/png': {'no': 'text'}, 'text/latex': '$x$'}, raw=True)
"""
    done = runner.run(notebook(source, save("{'ok': 1}")), html=True)
    assert done.exit_code == ExitCode.SUCCEEDED
    first, second = done.json("notebook.ipynb")["cells"][0]["outputs"]
    assert first["data"]["text/plain"] == "the text"
    assert first["data"]["image/png"].strip() == "aGVsbG8="
    assert first["data"]["application/vnd.custom.v5+json"] == {"mark": "bar"}
    assert "application/vnd.custom.v5.json" not in first["data"]
    assert second["data"]["text/latex"] == "$x$"
    assert "image/png" not in second["data"]
    assert "text/plain" not in second["data"]
    assert "left out" in done.text("log.txt")
    assert done.manifest.pages is not None
    assert done.manifest.pages.rendered


def test_a_foreign_kernel_name_is_a_line_in_the_log(runner: Runner) -> None:
    done = runner.run(notebook(save("{'ok': 1}"), kernel="conda-env-mine-py"))
    assert done.exit_code == ExitCode.SUCCEEDED
    assert "names the kernel 'conda-env-mine-py', which is not installed here; its cells run on python3" in done.text("log.txt")
