"""The parts that decide, on plain data."""

import html
import itertools
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from podbook_core.execution.manifest import CellError
from podbook_core.execution.reasons import INTERRUPTED, REASONS, ExitCode, Reason
from podbook_core.execution.task import Destination, InputSource, Source, Task
from podbook_core.store.limits import MAX_LOG_BYTES
from podbook_runner.cells.carriage_returns import as_shown
from podbook_runner.cells.log import RunLog
from podbook_runner.cells.notebook import executed_bytes, merge_streams, outputs_size
from podbook_runner.cells.output import OutputScraps, parse_output
from podbook_runner.kernel.spec import KernelSpec, find_kernelspec
from podbook_runner.limits.memory import MemoryReading, find_control_group
from podbook_runner.limits.process_tree import descendants, memory_of
from podbook_runner.limits.watch import group_is_full, seconds_to_next_look
from podbook_runner.outcome import AttemptError, Outcome, exit_code_of, termination_message
from podbook_runner.transfer.redact import REPLACEMENT, Redactor, secrets_of, without_query

SECRET = 'c2lnbmF0dXJl+/=&<q>"x'


def test_every_outcome_of_the_runner_has_its_exit_code() -> None:
    codes = {exit_code_of(Outcome(reason, "")) for reason, info in REASONS.items() if info.exit_code is not None}
    assert codes | {exit_code_of(Outcome(INTERRUPTED, ""))} == set(ExitCode)


@given(st.text(), st.text(), st.text())
def test_a_termination_message_is_always_small_json(message: str, ename: str, evalue: str) -> None:
    outcome = Outcome(Reason.CELL_FAILED, message * 500, CellError(3, ename * 500, evalue * 500))
    encoded = termination_message(outcome)
    assert len(encoded) <= 4096
    assert set(json.loads(encoded)) == {"reason", "message", "cell", "ename", "evalue"}


def test_secrets_are_found_in_every_spelling() -> None:
    redactor = Redactor(lambda: frozenset([SECRET]))
    for spelling in (SECRET, json.dumps(SECRET), html.escape(SECRET), f"before{SECRET}after"):
        scrubbed = redactor.text(spelling)
        assert REPLACEMENT in scrubbed
        assert SECRET[:12] not in scrubbed
    assert json.loads(redactor.text(json.dumps({"a": SECRET}))) == {"a": REPLACEMENT}
    assert Redactor(frozenset).text(SECRET) == SECRET


def test_secrets_of_a_task() -> None:
    signed = Source("https://u:passw0rd@s/b/k?X-Amz-Signature=abcdef123456&X-Amz-Expires=3600&X-Amz-Credential=KEYID123%2F2026", "")
    task = Task(
        execution="e",
        uid="u",
        notebook_name="n",
        version="v",
        notebook=signed,
        contract=None,
        assets=None,
        inputs=(InputSource("i", "http://s/i?sig=" + "z" * 30, "", 1),),
        parameters={},
        destination=Destination("post", "http://s/b", "p/", {"policy": "cG9saWN5", "key": "plain-value", "acl": "public"}),
        timeout_seconds=1,
    )
    found = secrets_of(task)
    assert {"passw0rd", "abcdef123456", "KEYID123/2026", "KEYID123%2F2026", "KEYID123", "z" * 30, "cG9saWN5"} <= found
    assert not {"3600", "plain-value", "public"} & found
    assert without_query(signed.url) == "https://s/b/k"


def test_the_log_keeps_its_end() -> None:
    log = RunLog(Redactor(lambda: frozenset(["topsecret"])))
    log.stream("first\n")
    for number in range(200_000):
        log.stream(f"line {number}\n")
    log.stream("a topsecret")
    log.line("runner")
    tail = log.tail()
    assert len(tail) <= MAX_LOG_BYTES
    assert tail.startswith(b"[earlier output was dropped]\nline ")
    assert b"line 199999\na [redacted]\n[" in tail
    assert tail.endswith(b"] runner\n")
    assert b"topsecret" not in tail


def test_a_secret_cut_by_the_tail_is_not_half_shown() -> None:
    secret = "s" * 1000
    for shift in range(0, 1200, 100):
        log = RunLog(Redactor(lambda: frozenset([secret])))
        log.stream("x" * 5000 + secret + "y" * (MAX_LOG_BYTES - shift))
        assert b"s" * 20 not in log.tail()


def _log(*streams: str) -> bytes:
    log = RunLog(Redactor(frozenset[str]))
    for text in streams:
        log.stream(text)
    return log.tail()


def test_the_log_keeps_its_newest_mebibyte_without_a_line_feed_in_it() -> None:
    for unit in ("x", "ä", "😀"):
        tail = _log("START\n", *([unit * 1000] * 3000), "END")
        assert len(tail) <= MAX_LOG_BYTES
        assert len(tail) > MAX_LOG_BYTES - 100
        assert tail.decode().removeprefix("[earlier output was dropped]\n").strip(unit) == "END"


def test_a_line_that_is_written_over_is_kept_in_its_last_state() -> None:
    bar = [f"\r{percent:3}%|{'#' * (percent // 10):10}|" for percent in range(101)]
    assert _log("START\n", *bar, "\nend\n") == b"START\n100%|##########|\nend\n"
    assert _log(*bar, "\r") == b"100%|##########|\r"
    assert _log("long line\rshort\n") == b"shortline\n"
    assert _log("dos\r", "\nline\r\n") == b"dos\nline\n"
    assert _log("".join(bar * 500), "\n") == b"100%|##########|\n"


@given(st.text(st.sampled_from("ab\r\n"), max_size=30), st.integers(0, 30))
def test_a_text_is_shown_the_same_however_it_comes(text: str, cut: int) -> None:
    assert _log(text[:cut], text[cut:]) == _log(text)
    assert _log(text + "\n").decode() == as_shown(text + "\n").replace("\r\n", "\n")


@given(
    st.lists(
        st.tuples(st.sampled_from(["stdout", "stderr", "display"]), st.text(st.characters(exclude_characters="\r"), max_size=5))
    )
)
def test_merging_streams_keeps_text_and_order(items: list[tuple[str, str]]) -> None:
    outputs: list[dict[str, Any]] = [
        {"output_type": "display_data", "data": {"text/plain": text}}
        if kind == "display"
        else {"output_type": "stream", "name": kind, "text": text}
        for kind, text in items
    ]
    merged = merge_streams([dict(output) for output in outputs])
    flat = [(out.get("name", "display"), out.get("text") if "text" in out else out["data"]["text/plain"]) for out in merged]
    for kind in ("stdout", "stderr", "display"):
        assert "".join(text for name, text in flat if name == kind) == "".join(text for name, text in items if name == kind)
    names = [name for name, _ in flat]
    assert not any(a == b != "display" for a, b in itertools.pairwise(names))


def _document(*texts: str) -> dict[str, Any]:
    return {
        "metadata": {"papermill": {"input_path": "/here", "output_path": None, "duration": 1}},
        "cells": [{"cell_type": "code", "outputs": [{"output_type": "stream", "name": "stderr", "text": text}]} for text in texts],
    }


def test_a_notebook_too_large_gives_up_its_largest_outputs_first() -> None:
    document = _document("small", "L" * 400_000, '\n"\\' * 100_000)
    assert outputs_size(document) > 900_000
    data, removed = executed_bytes(document, Redactor(frozenset), 600_000)
    assert removed == 1
    assert len(data) <= 600_000
    read = json.loads(data)
    assert read["cells"][0]["outputs"][0]["text"] == "small"
    assert read["cells"][1]["outputs"][0]["text"] == "L" * 400_000
    assert "was removed here" in read["cells"][2]["outputs"][0]["text"]
    assert read["metadata"]["papermill"] == {"duration": 1}
    data, removed = executed_bytes(_document("small"), Redactor(frozenset), 600_000)
    assert removed == 0


def test_a_lone_surrogate_can_be_published() -> None:
    data, _ = executed_bytes(_document("\ud83d"), Redactor(frozenset), 10_000)
    assert json.loads(data)["cells"][0]["outputs"][0]["text"] == "?"


@pytest.mark.parametrize(
    ("kind", "value", "expected"),
    [("text", '{"a": 1}', '{"a": 1}'), ("json", {"a": 1}, '{"a": 1}'), ("json", "text", '"text"')],
)
def test_scraps(kind: str, value: object, expected: str) -> None:
    plain = {"data": {"text/plain": "no scrap"}}
    other = {"data": {f"application/scrapbook.scrap.{kind}+json": {"name": "other", "data": "1"}}}
    first = {"data": {f"application/scrapbook.scrap.{kind}+json": {"name": "nbschema_outputs", "data": value}}}
    last = {"data": {"application/scrapbook.scrap.text+json": {"name": "nbschema_outputs", "data": "2"}}}
    assert _saved(plain, other) is None
    assert _saved(plain, first, other) == expected
    assert _saved(first, last) == "2"


@pytest.mark.parametrize("hostile", [{}, {"data": None}, {"data": {"application/scrapbook.scrap.text+json": 5}}])
def test_scraps_of_odd_shapes(hostile: dict[str, Any]) -> None:
    assert _saved(hostile) is None


def test_a_scrap_too_deep_to_be_written_is_no_output() -> None:
    deep: Any = 1
    for _ in range(100_000):
        deep = [deep]
    text = _saved({"data": {"application/scrapbook.scrap.json+json": {"name": "nbschema_outputs", "data": deep}}})
    with pytest.raises(AttemptError) as caught:
        parse_output(text, 1000)
    assert caught.value.reason is Reason.INVALID_OUTPUT


def _saved(*contents: dict[str, Any]) -> str | None:
    scraps = OutputScraps()
    for content in contents:
        scraps.see(content)
    return scraps.text


@given(st.recursive(st.none() | st.booleans() | st.integers() | st.text(), lambda x: st.lists(x) | st.dictionaries(st.text(), x)))
def test_output_survives(value: Any) -> None:
    try:
        text = json.dumps(value)
        json.dumps(value, ensure_ascii=False).encode()
    except UnicodeEncodeError:
        return
    assert json.loads(parse_output(text, 10**6)[1]) == value


@pytest.mark.parametrize("text", ["", "{", "NaN", "[Infinity]", "-Infinity", "1e400", '"\\ud800"', "[" * 200_000, "9" * 5000])
def test_output_that_is_none(text: str) -> None:
    with pytest.raises(AttemptError) as caught:
        parse_output(text, 10**6)
    assert caught.value.reason is Reason.INVALID_OUTPUT


def _group(folder: Path, files: dict[str, str]) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in files.items():
        (folder / name).write_text(text)


def test_control_group_version_2(tmp_path: Path) -> None:
    membership = tmp_path / "cgroup"
    membership.write_text("0::/pod/container\n")
    _group(
        tmp_path / "fs/pod",
        {
            "memory.max": "1000000\n",
            "memory.current": "900000\n",
            "memory.stat": "anon 1\ninactive_file 300000\n",
            "memory.events": "low 0\noom 1\noom_kill 2\n",
        },
    )
    _group(tmp_path / "fs/pod/container", {"memory.max": "max\n", "memory.current": "1\n"})
    group = find_control_group(membership, tmp_path / "fs")
    assert group is not None
    assert group.reading() == MemoryReading(600000, 1000000)
    assert group.kills() == 2


def test_control_group_inside_a_container(tmp_path: Path) -> None:
    membership = tmp_path / "cgroup"
    membership.write_text("0::/../../elsewhere\n")
    _group(tmp_path / "fs", {"memory.max": "5000\n", "memory.current": "10\n"})
    group = find_control_group(membership, tmp_path / "fs")
    assert group is not None
    assert group.reading() == MemoryReading(10, 5000)


def test_control_group_version_1(tmp_path: Path) -> None:
    membership = tmp_path / "cgroup"
    membership.write_text("5:cpu,cpuacct:/x\n4:memory:/kubepods/pod1\n0::/\n")
    _group(
        tmp_path / "fs/memory/kubepods/pod1",
        {
            "memory.limit_in_bytes": "4096000\n",
            "memory.usage_in_bytes": "4000\n",
            "memory.stat": "total_inactive_file 1000\n",
            "memory.oom_control": "oom_kill_disable 0\nunder_oom 0\noom_kill 1\n",
        },
    )
    group = find_control_group(membership, tmp_path / "fs")
    assert group is not None
    assert group.reading() == MemoryReading(3000, 4096000)
    assert group.kills() == 1


def test_no_limit_and_no_control_group(tmp_path: Path) -> None:
    membership = tmp_path / "cgroup"
    membership.write_text("4:memory:/\n")
    assert find_control_group(membership, tmp_path / "fs") is None
    assert find_control_group(tmp_path / "none", tmp_path / "fs") is None
    _group(tmp_path / "fs/memory", {"memory.limit_in_bytes": "9223372036854771712\n", "memory.usage_in_bytes": "4\n"})
    group = find_control_group(membership, tmp_path / "fs")
    assert group is not None
    assert group.reading() is None


@pytest.mark.parametrize(
    ("used", "limit", "full"),
    [
        (0, 1 << 30, False),
        (1000 << 20, 1 << 30, True),
        (900 << 20, 1 << 30, False),
        ((64 << 30) - (127 << 20), 64 << 30, True),
        ((64 << 30) - (129 << 20), 64 << 30, False),
        (57 << 20, 64 << 20, True),
    ],
)
def test_when_memory_is_full(used: int, limit: int, full: bool) -> None:
    assert group_is_full(MemoryReading(used, limit)) is full


def test_memory_is_looked_at_again_before_it_can_be_full() -> None:
    gibi = 1 << 30
    assert seconds_to_next_look(float("inf")) == seconds_to_next_look(100 * gibi) == 0.25
    assert seconds_to_next_look(gibi / 4) == pytest.approx(0.05)
    assert seconds_to_next_look(1 << 20) == seconds_to_next_look(-5.0) == 0.02


def test_a_module_is_loaded_when_it_is_used() -> None:
    program = (
        "import sys\nfrom podbook_runner.lazy_import import imported_late\n"
        "with imported_late('colorsys'), imported_late('no_such_module'):\n"
        "    import colorsys\n"
        "    try:\n        import no_such_module\n    except ModuleNotFoundError as error:\n        print(error.name)\n"
        "print('ONE_THIRD' in object.__getattribute__(colorsys, '__dict__'), len(sys.meta_path))\n"
        "print(round(colorsys.ONE_THIRD, 2), 'ONE_THIRD' in object.__getattribute__(colorsys, '__dict__'))"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    missing, unloaded, loaded = done.stdout.splitlines()
    assert (missing, unloaded.split()[0], loaded) == ("no_such_module", "False", "0.33 True")


def test_descendants_and_their_memory() -> None:
    program = "import subprocess, sys; subprocess.run([sys.executable, '-c', 'input()'])"
    with subprocess.Popen([sys.executable, "-c", program], stdin=subprocess.PIPE) as process:
        found: set[int] = set()
        while len(found) < 2:
            found = descendants(os.getpid())
            assert process.poll() is None
        assert process.pid in found
        assert memory_of({process.pid}, 0) > 1_000_000
        assert memory_of(found, 0) <= sum(memory_of({pid}, 0) for pid in found)
        assert process.stdin is not None
        process.stdin.write(b"\n")
    assert process.pid not in descendants(os.getpid())
    assert memory_of({process.pid}, 0) == 0


def test_the_nearest_kernelspec_wins(tmp_path: Path) -> None:
    for folder, argv in (("a", []), ("b", ["ir", "{connection_file}", "{resource_dir}", "{other}"]), ("c", ["never"])):
        _group(tmp_path / folder / "R", {"kernel.json": json.dumps({"argv": argv, "language": "R", "env": {"A": "$HOME"}})})
    _group(tmp_path / "a" / "broken", {"kernel.json": "{"})
    spec = find_kernelspec("r", "r", [tmp_path / "missing", tmp_path / "a", tmp_path / "b", tmp_path / "c"])
    assert (spec.language, spec.environment) == ("R", {"A": os.environ["HOME"]})
    assert spec.command(Path("/c")) == ["ir", "/c", str(tmp_path / "b" / "R"), "{other}"]
    with pytest.raises(AttemptError, match="installed: R, broken, python3"):
        find_kernelspec("julia", "julia", [tmp_path / "a", tmp_path / "b"])


def test_a_python_notebook_runs_on_the_python_kernel_there_is(tmp_path: Path) -> None:
    for name in ("myenv", "pythonjvsc74a57bd0", None):
        assert find_kernelspec(name, "python", [tmp_path]).name == "python3"
    _group(tmp_path / "myenv", {"kernel.json": json.dumps({"argv": ["own", "{connection_file}"], "language": "python"})})
    assert find_kernelspec("myenv", "python", [tmp_path]).argv[0] == "own"
    with pytest.raises(AttemptError, match="asks for the kernel 'ir'"):
        find_kernelspec("ir", "r", [tmp_path])


def test_python_kernels_run_on_this_interpreter() -> None:
    command = KernelSpec("python3", ("python", "-m", "ipykernel_launcher", "-f", "{connection_file}"), "python").command(Path("/c"))
    assert command[0] == sys.executable
    assert command[4:] == ["/c", "--HistoryManager.enabled=False"]


def test_the_runner_does_without_pydantic_and_boto3() -> None:
    program = (
        "import sys\nsys.modules['boto3'] = None\n"
        "import podbook_runner.run, podbook_runner.cells.engine, podbook_runner.html.worker, podbook_core.schema.validation, podbook_core.store.directory\n"
        "print(sorted({name.partition('.')[0] for name in sys.modules} & {'pydantic', 'botocore', 'fastapi', 'kopf', 'kubernetes'}))"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"


def test_nothing_heavy_is_imported_before_the_kernel_starts() -> None:
    program = (
        "import sys\nimport podbook_runner.__main__, podbook_runner.run\n"
        "heavy = {'asyncio', 'zmq', 'papermill', 'nbconvert', 'nbclient', 'nbformat', 'jupyter_client', 'jsonschema', 'ssl', 'http'}\n"
        "print(sorted(heavy & set(sys.modules) - {'http'}))"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"
