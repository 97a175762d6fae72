"""The ``podbook`` command against a real server: piped, on a terminal, interrupted."""

import json
import os
import pty
import re
import select
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest

Cli = Callable[..., "subprocess.CompletedProcess[str]"]
ESC = "\x1b"
NEVER = r"(?!)"
"""A pattern nothing matches."""


class TestRun:
    def test_piped_output_is_json_and_progress_plain_lines(self, cli: Cli) -> None:
        done = cli("run", "angles", "-p", "angle=180")
        assert done.returncode == 0, done.stderr
        assert json.loads(done.stdout)["gradians"] == 200
        lines = done.stderr.splitlines()
        assert re.fullmatch(r"Execution angles-[a-z2-7]{16}", lines[0])
        assert re.fullmatch(r"Succeeded after [\d.]+ s", lines[-1])
        assert ESC not in done.stderr + done.stdout

    def test_json_is_all_there_is(self, cli: Cli, tmp_path: Path) -> None:
        picture = Path(__file__).parents[2] / "notebooks" / "samples" / "hills.png"
        done = cli(
            "run", "thumbnail", "-p", "width=32", "--input", f"image={picture}", "--json", "--save-files", str(tmp_path / "out")
        )
        assert done.returncode == 0, done.stderr
        assert done.stdout.count("\n") == 1
        assert json.loads(done.stdout)["width"] == 32
        assert (tmp_path / "out" / "thumbnail.png").read_bytes().startswith(b"\x89PNG")

    def test_files_come_with_labels_and_a_time_out(self, cli: Cli) -> None:
        picture = Path(__file__).parents[2] / "notebooks" / "samples" / "hills.png"
        options = ["--label", "team=pictures", "--timeout", "120", "--no-wait"]
        done = cli("run", "thumbnail", "-p", "width=32", "--input", f"image={picture}", *options)
        assert done.returncode == 0, done.stderr
        listed = cli("list", "--label", "team=pictures", "--json")
        assert [item["id"] for item in json.loads(listed.stdout)] == [done.stdout.strip()]

    def test_a_failed_notebook_decides_the_exit_code_and_leaves_its_page(self, cli: Cli, tmp_path: Path) -> None:
        page = tmp_path / "page.html"
        done = cli("run", "failing", "--html", str(page))
        assert done.returncode == 10
        assert done.stdout == ""
        assert "Stock of item B-204" in done.stderr
        assert "podbook open failing-" in done.stderr
        assert "Traceback" not in done.stderr
        assert "B-204" in page.read_text()

    @pytest.mark.parametrize(
        ("arguments", "code", "message"),
        [
            (["analysis"], 15, "customer_name"),
            (["analysis", "-p", "customer_name=7"], 15, "/customer_name"),
            (["no-such-notebook"], 17, "no-such-notebook"),
            (["analysis", "-p", "customer_name"], 2, "NAME=VALUE"),
            (["thumbnail", "--input", "image=/no/such/file"], 2, "does not exist or is not a file"),
            (["analysis", "--no-wait", "--html", "x.html"], 2, "--no-wait"),
            (["analysis", "--html", "no-such-folder/x.html"], 2, "is not a folder"),
            (["thumbnail", "--input", f"options={__file__}"], 2, "an input file must not be called options"),
            (["thumbnail", "--input", f"image={__file__}", "--profile", "gpu"], 1, "gpu"),
        ],
    )
    def test_what_cannot_run_is_refused_with_one_clear_message(
        self, cli: Cli, arguments: list[str], code: int, message: str
    ) -> None:
        done = cli("run", *arguments)
        assert (done.returncode, done.stdout) == (code, "")
        assert message in done.stderr
        assert "Traceback" not in done.stderr


class TestLife:
    def test_an_execution_from_start_to_removal(self, cli: Cli, own_notebooks: Path, tmp_path: Path) -> None:
        gate = tmp_path / "gate"
        assert cli("publish", str(own_notebooks / "gated.ipynb")).returncode == 0
        execution = cli("run", "gated", "-p", f"gate={gate}", "--no-wait", "--label", "kind=life").stdout.strip()
        listed = cli("list", "--label", "kind=life")
        assert listed.stdout.splitlines()[0].split()[:3] == ["ID", "NOTEBOOK", "PHASE"]
        assert listed.stdout.splitlines()[1].split()[:2] == [execution, "gated"]
        assert cli("delete", execution).returncode == 1

        gate.touch()
        followed = cli("logs", "--follow", execution)
        assert followed.returncode == 0, followed.stderr
        assert followed.stdout.count("before the gate") == 1
        assert followed.stdout.count("after the gate") == 1
        assert json.loads(cli("get", execution, "--json").stdout)["status"]["phase"] == "Succeeded"
        assert "Succeeded" in cli("get", execution).stdout
        assert cli("get", execution, "-o", "html").stdout.lower().startswith("<!doctype html")
        assert cli("open", execution, "--print").stdout.startswith("http://127.0.0.1:")
        assert "had already ended" in cli("cancel", execution).stdout

        again = cli("rerun", execution).stdout.strip()
        assert again not in ("", execution)
        assert cli("logs", "-f", again).returncode == 0
        assert cli("delete", execution, again).stdout.splitlines() == [f"{execution} is gone", f"{again} is gone"]
        gone = cli("get", execution)
        assert (gone.returncode, gone.stderr.count("\n")) == (1, 1)

    def test_a_folder_is_published_as_far_as_it_can_be(self, cli: Cli, own_notebooks: Path) -> None:
        done = cli("publish", str(own_notebooks))
        assert done.returncode == 1
        assert re.search(r"^(Published|Updated) sub\.greet \(version [0-9a-f]{12}\)$", done.stdout, re.MULTILINE)
        assert "wrong.ipynb" in done.stderr
        assert "1 of 3 notebooks could not be published" in done.stderr
        table = cli("notebooks")
        assert {"analysis", "sub.greet"} <= {line.split()[0] for line in table.stdout.splitlines()}
        assert cli("unpublish", "sub.greet").returncode == 0
        assert "sub.greet" not in [item["name"] for item in json.loads(cli("notebooks", "--json").stdout)]


class TestTerminal:
    @pytest.fixture
    def gated(self, cli: Cli, own_notebooks: Path, tmp_path: Path) -> Path:
        """Publishes the notebook that waits for a file; gives the file's path."""
        assert cli("publish", str(own_notebooks / "gated.ipynb")).returncode == 0
        return tmp_path / "gate"

    def test_progress_is_live_and_the_output_still_plain(self, server: Any, gated: Path, tmp_path: Path) -> None:
        output = tmp_path / "output.json"
        master, terminal = pty.openpty()
        with output.open("wb") as stdout:
            process = start(server, "run", "gated", "-p", f"gate={gated}", stdout=stdout, stderr=terminal)
        os.close(terminal)
        shown = read_until(master, r"[1-9]/\d+ cells")
        gated.touch()
        shown += read_until(master, NEVER)
        assert process.wait(60) == 0
        os.close(master)
        assert ESC in shown
        assert "cells" in shown
        assert "Succeeded after" in shown
        assert json.loads(output.read_text()) is None

    @pytest.mark.parametrize(("option", "reason"), [([], "Running"), (["--cancel-on-interrupt"], "Cancelled")])
    def test_ctrl_c_says_what_becomes_of_the_run(self, cli: Cli, server: Any, gated: Path, option: list[str], reason: str) -> None:
        process = start(server, "run", "gated", "-p", f"gate={gated}", *option, stderr=subprocess.PIPE)
        assert process.stderr is not None
        lines = [process.stderr.readline().decode()]
        execution = lines[0].split()[1]
        while not lines[-1].startswith("Running"):
            lines.append(process.stderr.readline().decode())
            assert lines[-1], lines
        process.send_signal(signal.SIGINT)
        rest = process.stderr.read().decode()
        assert process.wait(30) == 130
        process.stderr.close()
        assert execution in rest
        assert "Traceback" not in rest
        try:
            if reason == "Cancelled":
                assert cli("logs", "-f", execution).returncode == 0
            else:
                assert f"podbook cancel {execution}" in rest
            assert json.loads(cli("get", execution, "--json").stdout)["status"]["reason"] == reason
        finally:
            gated.touch()


class TestKeys:
    def test_a_new_key_works_at_once_as_far_as_its_scopes_go(self, cli: Cli, server: Any, offline_cli: Cli, tmp_path: Path) -> None:
        made = offline_cli("keys", "create", "--id", "angles", "--scope", "notebooks/angles/run", "--file", str(server.keys))
        key_file = tmp_path / "key"
        key_file.write_text(made.stdout)
        with_key = ("--url", server.url, "--api-key-file", str(key_file))
        assert offline_cli("run", "angles", "-p", "angle=0", "--json", *with_key).returncode == 0
        refused = offline_cli("run", "analysis", "-p", "customer_name=microsoft", *with_key)
        assert refused.returncode == 1
        assert "notebooks/analysis/run" in refused.stderr
        assert [line.split()[1] for line in offline_cli("list", *with_key).stdout.splitlines()[1:]] == ["angles"]
        assert len(cli("list").stdout.splitlines()) > 2

    def test_no_key_and_a_wrong_one_get_advice(self, server: Any, offline_cli: Cli) -> None:
        for key in ({}, {"PODBOOK_API_KEY": "pbk_wrong"}):
            done = offline_cli("list", env={"PODBOOK_URL": server.url, **key})
            assert done.returncode == 1
            assert "PODBOOK_API_KEY" in done.stderr
            assert "pbk_wrong" not in done.stderr


def start(server: Any, *arguments: str, **streams: Any) -> "subprocess.Popen[bytes]":
    """``podbook`` in the background."""
    environment: Mapping[str, str] = {
        **os.environ,
        "PODBOOK_URL": server.url,
        "PODBOOK_API_KEY": server.admin_key,
        "PYTHONUNBUFFERED": "1",
        "TERM": "xterm",
    }
    return subprocess.Popen([sys.executable, "-m", "podbook", *arguments], env=environment, **streams)


def read_until(terminal: int, pattern: str) -> str:
    """What a terminal shows until a pattern appears, or until its other side is closed."""
    shown, deadline = "", time.monotonic() + 60
    while not re.search(pattern, shown):
        ready, _, _ = select.select([terminal], [], [], max(0.0, deadline - time.monotonic()))
        assert ready, shown
        try:
            data = os.read(terminal, 65536)
        except OSError:  # Linux says EIO when nobody has the other side open any more
            return shown
        shown += data.decode(errors="replace")
    return shown
