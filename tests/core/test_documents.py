"""The small documents: tasks, digests, notebooks at a glance, and where everything lies in the store."""

import json
import re
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from podbook_core.execution.task import Destination, InputSource, InvalidTaskError, Source, Task
from podbook_core.notebook.file import MAX_NOTEBOOK_BYTES, InvalidNotebookError, NotebookInfo, inspect_notebook
from podbook_core.store import keys
from podbook_core.store.base import check_key
from podbook_core.text.digests import canonical_json, digest_json, sha256_hex

from .builders import DIGEST

TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=8)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | TEXT,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXT, inner, max_size=3),
    max_leaves=6,
)
SOURCES = st.builds(Source, TEXT, st.just(DIGEST))
TASKS = st.builds(
    Task,
    execution=TEXT,
    uid=TEXT,
    notebook_name=TEXT,
    version=TEXT,
    notebook=SOURCES,
    contract=st.none() | SOURCES,
    assets=st.none() | SOURCES,
    inputs=st.lists(st.builds(InputSource, TEXT, TEXT, st.just(DIGEST), st.integers(0, 10)), max_size=2).map(tuple),
    parameters=st.dictionaries(TEXT, JSON, max_size=3),
    destination=st.builds(Destination, st.sampled_from(["directory", "post"]), TEXT, TEXT, st.dictionaries(TEXT, TEXT, max_size=2)),
    timeout_seconds=st.floats(1, 1e5),
)
SECRET = "X-Amz-Signature=0123456789abcdef"


@given(TASKS)
def test_a_task_survives_its_text(task: Task) -> None:
    assert Task.from_json(task.to_json()) == task


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        b"null",
        b"[]",
        b"{}",
        b"\xff",
        b"[" * 100_000,
        json.dumps({"notebook": SECRET}).encode(),
        json.dumps({"notebook": {"url": SECRET, "sha256": "x", "more": 1}}).encode(),
        json.dumps({"notebook": {"url": SECRET, "sha256": "x"}, "destination": {"kind": "post"}}).encode(),
        json.dumps({"notebook": {"url": SECRET, "sha256": "x"}, "destination": SECRET, "inputs": 3}).encode(),
    ],
)
def test_what_is_no_task_is_refused_without_its_secrets(raw: bytes) -> None:
    with pytest.raises(InvalidTaskError) as caught:
        Task.from_json(raw)
    assert SECRET not in str(caught.value)
    assert caught.value.__suppress_context__


@given(st.dictionaries(TEXT, JSON, max_size=5))
def test_canonical_json_does_not_know_the_order(value: dict[str, Any]) -> None:
    other = dict(reversed(value.items()))
    assert canonical_json(value) == canonical_json(other)
    assert json.loads(canonical_json(value)) == value
    assert digest_json(value) == digest_json(other) == sha256_hex(canonical_json(value))


def test_canonical_json_is_an_interface() -> None:
    assert canonical_json({"b": [1, 2.5, True, None], "a": "é\n"}) == '{"a":"é\\n","b":[1,2.5,true,null]}'.encode()
    assert digest_json({}) == "44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a"


@pytest.mark.parametrize("value", [float("nan"), float("inf"), [float("-inf")]])
def test_what_json_cannot_say(value: Any) -> None:
    with pytest.raises(ValueError, match="not JSON compliant"):
        canonical_json(value)


def cell(kind: str, source: Any) -> dict[str, Any]:
    """A cell of a notebook."""
    return {"cell_type": kind, "source": source, "metadata": {}}


def notebook(*cells: dict[str, Any], **fields: Any) -> bytes:
    """A notebook file."""
    return json.dumps({"nbformat": 4, "nbformat_minor": 5, "metadata": {}, "cells": list(cells), **fields}).encode()


def test_a_notebook_at_a_glance() -> None:
    data = notebook(
        cell("code", "# no title"),
        cell("markdown", ["Text\n", "## The *title* \n", "more"]),
        cell("code", []),
        cell("raw", ""),
        metadata={"kernelspec": {"name": "python3", "language": "python"}, "language_info": {"name": "python"}},
    )
    assert inspect_notebook(data) == NotebookInfo("python3", "python", 2, 4, "The *title*")


def test_a_notebook_that_says_little() -> None:
    info = inspect_notebook(notebook())
    assert (info.kernel, info.language) == (None, "python")
    assert info.warnings == ("it does not name a kernel: its cells run on python3",)
    assert inspect_notebook(notebook(cell("markdown", "# \ud800 odd"))).title == "? odd"


@pytest.mark.parametrize(
    ("metadata", "language", "warning"),
    [
        ({"kernelspec": {"name": "python3"}}, "python", None),
        ({"kernelspec": {"name": "myenv", "language": "python"}}, "python", "names the kernel 'myenv'"),
        ({"kernelspec": {"name": "conda-env-x-py"}, "language_info": {"name": "Python"}}, "python", "its cells run on python3"),
        ({"kernelspec": {"name": 3, "language": "R"}}, "r", "must have the kernel 'r'"),
        ({"kernelspec": {"name": "ir"}, "language_info": {"name": "R"}}, "r", "must have the kernel '?ir"),
        ({"kernelspec": []}, "python", "does not name a kernel"),
    ],
)
def test_the_kernel_of_somebody_elses_editor_is_a_warning(metadata: dict[str, Any], language: str, warning: str | None) -> None:
    info = inspect_notebook(notebook(metadata=metadata))
    assert info.language == language
    assert len(info.warnings) == (0 if warning is None else 1)
    assert warning is None or re.search(warning, info.warnings[0])


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"", "is not valid JSON"),
        (b"[" * 100_000, "is nested too deeply"),
        (b'{"nbformat": 4, "cells": [], "metadata": ' + b"[" * 200 + b"]" * 200 + b"}", "is nested too deeply; at most 200 levels"),
        (b'{"nbformat": 4, "cells": [], "metadata": ' + b"[" * 10_000 + b"]" * 10_000 + b"}", "is nested too deeply"),
        (b"9" * 5000, "is not valid JSON"),
        (b"[]", "has no nbformat"),
        (b'{"cells": []}', "has no nbformat"),
        (b'{"nbformat": "4"}', "has no nbformat"),
        (b'{"nbformat": 3, "worksheets": []}', "is nbformat 3; 4 is needed: convert it"),
        (b'{"nbformat": 4}', "has no list of cells"),
        (b'{"nbformat": 4, "metadata": {}, "cells": {}}', "has no list of cells"),
        (b'{"nbformat": 4, "metadata": [], "cells": []}', "or no metadata"),
        (b'{"nbformat": true, "metadata": {}, "cells": []}', "has no nbformat"),
        (notebook({}), "cell 0 of the notebook is not a code, markdown or raw cell"),
        (notebook(cell("code", 7)), "has no source text"),
        (notebook({"cell_type": "code", "source": ""}), "has no metadata"),
        (notebook({"cell_type": "code", "source": "", "metadata": {"tags": "parameters"}}), "tags that are not a list of strings"),
        (b" " * (MAX_NOTEBOOK_BYTES + 1), "clear its outputs"),
    ],
    ids=lambda value: ascii(value[:20]),
)
def test_what_is_no_notebook(data: bytes, words: str) -> None:
    with pytest.raises(InvalidNotebookError, match=words):
        inspect_notebook(data)


def test_store_keys_are_an_interface() -> None:
    expected = {
        keys.notebook_prefix("a.b"): "notebooks/a.b/",
        keys.current_key("a.b"): "notebooks/a.b/current.json",
        keys.version_prefix("a", DIGEST): f"notebooks/a/versions/{DIGEST}/",
        keys.input_key(DIGEST): f"inputs/{DIGEST}",
        keys.execution_prefix("u"): "executions/u/",
        keys.attempts_prefix("u"): "executions/u/attempts/",
        keys.attempt_prefix("u", "p"): "executions/u/attempts/p/",
        keys.result_key("u", "p"): "executions/u/attempts/p/result.json",
        keys.record_key("u"): "executions/u/record.json",
        keys.name_key("n"): "names/n.json",
        keys.idempotency_key(DIGEST): f"idempotency/{DIGEST}",
    }
    for found, key in expected.items():
        assert found == key
        check_key(found.rstrip("/"))
    # All an attempt may write lies below one prefix, and the record does not.
    assert keys.result_key("u", "p").startswith(keys.attempts_prefix("u"))
    assert not keys.record_key("u").startswith(keys.attempts_prefix("u"))
