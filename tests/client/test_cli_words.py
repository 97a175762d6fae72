"""What the command line decides without a server: words, tables, logs, paths."""

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import click
import pytest
from hypothesis import given
from hypothesis import strategies as st

from podbook.cli.failure import Failure, exit_code_of, failure_from, printable
from podbook.cli.group import COMMANDS, podbook
from podbook.cli.keys import expiry
from podbook.cli.logs import new_part, tame
from podbook.cli.parameters import parse_inputs, parse_parameters, parse_value
from podbook.cli.progress import describe
from podbook.cli.run import safe_target
from podbook.cli.table import age, table
from podbook.errors import AccessDeniedError, ExecutionFailed, InvalidRequestError, ServerUnreachableError
from podbook.execution import Event, Execution, Progress
from podbook_core.execution.reasons import REASONS, Reason, is_terminal

NOW = datetime(2030, 1, 1, tzinfo=UTC)


class TestParameters:
    @pytest.mark.parametrize(
        ("text", "value"),
        [
            ("3", 3),
            ("1.5", 1.5),
            ("true", True),
            ("null", None),
            ("[1, 2]", [1, 2]),
            ('"007"', "007"),
            ("microsoft", "microsoft"),
            ("", ""),
            ("NaN", "NaN"),
            ("{broken", "{broken"),
            ("[" * 100_000, "[" * 100_000),
        ],
    )
    def test_values_are_json_where_they_are_json(self, text: str, value: Any) -> None:
        assert parse_value(text) == value

    def test_files_and_values_mix_and_the_last_one_wins(self, tmp_path: Path) -> None:
        path = tmp_path / "p.json"
        path.write_text('{"a": 1, "b": 2}')
        assert parse_parameters(["a=0", f"@{path}", "b=x=y"]) == {"a": 1, "b": "x=y"}

    @pytest.mark.parametrize("text", ["novalue", "=3", "@/does/not/exist.json"])
    def test_what_is_no_parameter_is_refused(self, text: str) -> None:
        with pytest.raises(click.BadParameter):
            parse_parameters([text])

    @pytest.mark.parametrize("content", ["[1]", "{", '{"a": NaN}'])
    def test_a_file_must_hold_an_object(self, tmp_path: Path, content: str) -> None:
        path = tmp_path / "p.json"
        path.write_text(content)
        with pytest.raises(click.BadParameter, match=r"p\.json"):
            parse_parameters([f"@{path}"])

    def test_input_files_must_exist(self, tmp_path: Path) -> None:
        path = tmp_path / "cat.png"
        path.write_bytes(b"png")
        assert parse_inputs([f"image={path}"]) == {"image": path}
        with pytest.raises(click.BadParameter, match="does not exist or is not a file"):
            parse_inputs([f"image={path}.not"])

    @pytest.mark.parametrize("name", ["parameters", "options"])
    def test_input_files_cannot_take_the_place_of_other_parts(self, name: str, tmp_path: Path) -> None:
        path = tmp_path / "cat.png"
        path.write_bytes(b"png")
        with pytest.raises(click.BadParameter, match=name):
            parse_inputs([f"{name}={path}"])


class TestExitCodes:
    def test_every_end_has_one_and_only_success_is_zero(self) -> None:
        codes = {reason: exit_code_of(reason) for reason in Reason if is_terminal(reason)}
        assert [reason for reason, code in codes.items() if code == 0] == [Reason.SUCCEEDED]
        assert codes[Reason.CELL_FAILED] == 10
        assert codes[Reason.CANCELLED] == 30
        assert codes[Reason.EVICTED] == 1

    def test_a_reason_of_a_newer_server_is_some_error(self) -> None:
        assert exit_code_of("Sunburnt") == 1

    def test_refused_parameters_are_listed_below_the_message(self) -> None:
        violation = {"path": "/x", "problem": "is a string", "expected": "a number"}
        error = InvalidRequestError(422, {"code": "InvalidParameters", "detail": "1 parameter", "errors": [violation]})
        failure = failure_from(error)
        assert failure.message == "the parameters violate the notebook's contract"
        assert (failure.advice, failure.code) == ("  /x: is a string; expected a number", 15)

    def test_advice_fits_the_error(self) -> None:
        assert "podbook serve" in failure_from(ServerUnreachableError("http://x", "refused")).advice
        assert "PODBOOK_API_KEY" in failure_from(AccessDeniedError(401, {})).advice
        failed = failure_from(ExecutionFailed("a-1", "CellFailed", "it broke"))
        assert failed.advice == REASONS[Reason.CELL_FAILED].advice
        assert failed.code == 10


class TestTerminal:
    def test_messages_cannot_steer_the_terminal(self) -> None:
        assert printable("a\x1b[2Jb\x07\u202ec\n\td\x9b") == "a\ufffd[2Jb\ufffd\ufffdc\n\td\ufffd"

    def test_logs_keep_their_colours_only(self) -> None:
        assert tame("\x1b[31mred\x1b[0m\x1b]0;title\x07 \x1b[2J5%\r10%\r\n") == "\x1b[31mred\x1b[0m]0;title [2J5%\n10%\n"

    def test_table(self) -> None:
        assert table(("ID", "REASON"), [["a-1", "Run\nning"], ["long-id", ""]]) == "ID        REASON\na-1       Run ning\nlong-id"

    @pytest.mark.parametrize(("seconds", "text"), [(-1, "0s"), (119, "119s"), (120, "2m"), (7200, "2h"), (172800, "2d")])
    def test_age(self, seconds: float, text: str) -> None:
        assert age(seconds) == text


class TestLogs:
    @given(st.text(max_size=200), st.text(max_size=200))
    def test_what_was_added_is_printed_once(self, seen: str, added: str) -> None:
        assert new_part(seen, seen + added) == added

    def test_a_window_that_moved_on(self) -> None:
        assert new_part("one\ntwo\nthree\n", "two\nthree\nfour\n") == "two\nthree\nfour\n"
        long = "".join(f"line {number}\n" for number in range(2000))
        assert new_part(long, long[5000:] + "new\n") == "new\n"


class TestPublishedFiles:
    def test_they_stay_in_the_folder(self, tmp_path: Path) -> None:
        assert safe_target(tmp_path, "sub/plot.png") == tmp_path / "sub" / "plot.png"

    @pytest.mark.parametrize("name", ["/etc/passwd", "../x", "a/../../x", "", "a\\..\\x", "link/x"])
    def test_names_that_lead_out_are_refused(self, tmp_path: Path, name: str) -> None:
        (tmp_path / "link").symlink_to("/")
        with pytest.raises(Failure, match="outside"):
            safe_target(tmp_path, name)


class TestProgress:
    EXECUTION = Execution.from_document({"id": "a-1", "spec": {"parameters": {"x": 1}}, "status": {"reason": "Queued"}})

    def test_events_move_an_execution_on(self) -> None:
        status = {"phase": "Running", "reason": "Running", "progress": {"completed": 1, "total": 4}}
        running = self.EXECUTION.after(Event("status", "1", {"id": "a-1", "status": status}))
        assert (running.phase, running.progress, running.parameters) == ("Running", Progress(1, 4), {"x": 1})
        moved = running.after(Event("progress", "2", {"completed": 2, "total": 4}))
        assert moved.progress == Progress(2, 4)
        assert moved.after(Event("news", "3", {"of": "the future"})) == moved
        assert describe(moved) == "Running: cell 2 of 4 done"

    def test_ends_are_described(self) -> None:
        ended = Execution.from_document({"status": {"phase": "Failed", "reason": "CellFailed", "durationSeconds": 1.25}})
        assert describe(ended) == "CellFailed after 1.2 s"
        assert not ended.stored


class TestKeys:
    @pytest.mark.parametrize(
        ("text", "moment"),
        [("90d", NOW + timedelta(days=90)), ("12h", NOW + timedelta(hours=12)), ("2030-02-01", datetime(2030, 2, 1, tzinfo=UTC))],
    )
    def test_expiry(self, text: str, moment: datetime) -> None:
        assert expiry(text, NOW) == moment

    @pytest.mark.parametrize("text", ["soon", "0d", "90", "2029-12-31", "-1d"])
    def test_an_expiry_that_is_none(self, text: str) -> None:
        with pytest.raises(click.BadParameter):
            expiry(text, NOW)


@pytest.mark.parametrize("name", COMMANDS)
def test_the_summaries_in_the_help_are_those_of_the_commands(name: str) -> None:
    command = podbook.get_command(click.Context(podbook), name)
    assert command is not None
    assert command.name == name
    assert command.help


def test_executions_are_read_leniently() -> None:
    empty = Execution.from_document(json.loads('{"status": {"progress": null, "conditions": null, "startTime": "x"}, "new": 1}'))
    assert (empty.id, empty.phase, empty.progress, empty.started, empty.finished) == ("", "Pending", None, None, False)
