"""Retries, time-outs and errors, against a real HTTP server that answers as it is told."""

import json
from typing import Any

import pytest

from podbook.client import Client
from podbook.errors import (
    AccessDeniedError,
    ExecutionFailed,
    InvalidRequestError,
    NotFinishedError,
    NotFoundError,
    PodbookError,
    ServerUnreachableError,
    UnavailableError,
    UnexpectedAnswerError,
    Violation,
)
from podbook.transport import retry_delay

BUSY = {"Retry-After": "0", "Content-Type": "application/problem+json"}
JSON = {"Content-Type": "application/json"}
PROBLEM = {"Content-Type": "application/problem+json"}


def execution(phase: str = "Succeeded", reason: str = "Succeeded", **status: Any) -> bytes:
    stored = {"type": "ResultsStored", "status": "True"}
    return json.dumps(
        {
            "id": "a-1",
            "metadata": {"name": "a-1"},
            "spec": {"notebook": {"name": "a"}},
            "status": {"phase": phase, "reason": reason, "conditions": [stored], **status},
        }
    ).encode()


class TestRetries:
    def test_a_busy_server_is_asked_again(self, script: Any, answer: Any) -> None:
        script.answers += [answer(503, headers=BUSY), answer(429, headers=BUSY), answer(200, execution())]
        with Client(script.url) as client:
            assert client.get("a-1").succeeded
        assert len(script.requests) == 3

    def test_a_broken_connection_is_tried_again_once_the_server_was_reached(self, script: Any, answer: Any) -> None:
        script.answers += [answer(200, execution()), answer(0), answer(200, execution())]
        with Client(script.url) as client:
            client.get("a-1")
            assert client.get("a-1").succeeded

    def test_every_attempt_to_submit_has_the_same_idempotency_key(self, script: Any, answer: Any) -> None:
        script.answers += [answer(503, headers=BUSY), answer(202, execution("Pending", "Queued"))]
        with Client(script.url) as client:
            assert client.submit("a", {"x": 1}).id == "a-1"
        first, second = (headers["Idempotency-Key"] for _, _, headers in script.requests)
        assert first == second
        assert len(first) >= 32

    def test_two_submissions_have_different_keys(self, script: Any, answer: Any) -> None:
        script.answers += [answer(202, execution()), answer(202, execution())]
        with Client(script.url) as client:
            client.submit("a")
            client.submit("a")
        assert len({headers["Idempotency-Key"] for _, _, headers in script.requests}) == 2

    def test_a_request_that_changes_something_is_not_repeated(self, script: Any, answer: Any) -> None:
        script.answers += [answer(200, execution()), answer(0), answer(200, execution())]
        with Client(script.url) as client:
            client.get("a-1")
            with pytest.raises(ServerUnreachableError):
                client.cancel("a-1")
        assert [method for method, _, _ in script.requests] == ["GET", "POST"]

    def test_a_failed_runs_503_is_an_answer_and_no_reason_to_ask_again(self, script: Any, answer: Any) -> None:
        script.answers += [answer(503, b'{"code": "Evicted", "detail": "taken away"}', PROBLEM)]
        with Client(script.url) as client, pytest.raises(UnavailableError, match="taken away"):
            client.output("a-1")
        assert len(script.requests) == 1

    def test_patience_ends(self, script: Any, answer: Any) -> None:
        script.answers += [answer(503, b'{"detail": "down"}', {"Retry-After": "3600", **PROBLEM})]
        with Client(script.url, patience=1) as client, pytest.raises(UnavailableError, match="down"):
            client.get("a-1")

    def test_a_server_that_never_answered_is_not_waited_for(self, unused_port: int) -> None:
        with Client(f"http://127.0.0.1:{unused_port}") as client, pytest.raises(ServerUnreachableError, match=str(unused_port)):
            client.get("a-1")

    @pytest.mark.parametrize(
        ("attempt", "retry_after", "remaining", "low", "high"),
        [(1, None, 60, 0.18, 0.32), (4, None, 60, 1.5, 2.5), (50, None, 60, 6, 10), (1, 7.0, 60, 7, 7), (1, -5.0, 60, 0, 0)],
    )
    def test_delays(self, attempt: int, retry_after: float | None, remaining: float, low: float, high: float) -> None:
        delay = retry_delay(attempt, retry_after, remaining)
        assert delay is not None
        assert low <= delay <= high

    def test_no_delay_outlasts_the_patience(self) -> None:
        assert retry_delay(1, 61.0, 60.0) is None
        assert retry_delay(20, None, 1.0) is None


class TestErrors:
    @pytest.mark.parametrize(
        ("status", "code", "kind"),
        [
            (401, "Unauthenticated", AccessDeniedError),
            (403, "Forbidden", AccessDeniedError),
            (404, "ExecutionNotFound", NotFoundError),
            (409, "NotFinished", NotFinishedError),
            (413, "BodyTooLarge", InvalidRequestError),
        ],
    )
    def test_problems_become_errors(self, script: Any, answer: Any, status: int, code: str, kind: type[PodbookError]) -> None:
        script.answers.append(answer(status, json.dumps({"code": code, "detail": "because"}).encode(), PROBLEM))
        with Client(script.url) as client, pytest.raises(kind, match="because") as caught:
            client.output("a-1")
        assert (caught.value.status, caught.value.code) == (status, code)  # type: ignore[attr-defined] # all are ProblemErrors

    def test_violations_are_kept(self, script: Any, answer: Any) -> None:
        violation = {"path": "/x", "problem": "is missing", "expected": "a number"}
        script.answers.append(answer(422, json.dumps({"code": "InvalidParameters", "errors": [violation]}).encode(), PROBLEM))
        with Client(script.url) as client, pytest.raises(InvalidRequestError) as caught:
            client.submit("a")
        assert caught.value.errors == (Violation("/x", "is missing", "a number"),)

    def test_another_kind_of_server_is_noticed(self, script: Any, answer: Any) -> None:
        script.answers.append(answer(200, b"<html>", {"Content-Type": "text/html"}))
        with Client(script.url) as client, pytest.raises(UnexpectedAnswerError, match="text/html instead of JSON"):
            client.get("a-1")

    def test_an_answer_of_absurd_depth_is_noticed(self, script: Any, answer: Any) -> None:
        deep = b"[" * 100_000 + b"]" * 100_000
        script.answers += [answer(200, deep, JSON), answer(400, deep, PROBLEM)]
        with Client(script.url) as client:
            with pytest.raises(UnexpectedAnswerError, match="nested deeper"):
                client.output("a-1")
            with pytest.raises(PodbookError, match="400"):
                client.output("a-1")

    def test_an_event_of_absurd_depth_is_noticed(self, script: Any, answer: Any) -> None:
        events = b"event: state\ndata: " + b"[" * 100_000 + b"\n\n"
        script.answers += [answer(200, events, {"Content-Type": "text/event-stream"})]
        with Client(script.url) as client, pytest.raises(UnexpectedAnswerError, match="not valid JSON"):
            list(client.events("a-1"))

    def test_a_redirect_is_no_success(self, script: Any, answer: Any) -> None:
        script.answers.append(answer(308, b"", {"Location": "https://other.example/v1/executions/a-1"}))
        with Client(script.url, "pbk_secret") as client, pytest.raises(UnexpectedAnswerError, match=r"https://other\.example/"):
            client.delete("a-1")
        assert len(script.requests) == 1

    def test_run_raises_what_the_execution_ended_with(self, script: Any, answer: Any) -> None:
        error = {"cell": 3, "ename": "ValueError", "evalue": "no such customer"}
        script.answers.append(answer(200, execution("Failed", "CellFailed", message="cell 3 raised", error=error)))
        with Client(script.url) as client, pytest.raises(ExecutionFailed, match="ended as CellFailed: cell 3 raised") as caught:
            client.run("a")
        failed = caught.value
        assert (failed.execution, failed.reason, failed.cell, failed.ename, failed.evalue) == (
            "a-1",
            "CellFailed",
            3,
            "ValueError",
            "no such customer",
        )

    @pytest.mark.parametrize("url", ["localhost:8000", "ftp://x", "http://", "example.org"])
    def test_an_address_that_is_none_is_refused(self, url: str) -> None:
        with pytest.raises(ValueError, match="is not the address of a server"):
            Client(url)


class TestFollowing:
    def test_a_broken_stream_is_taken_up_where_it_ended(self, script: Any, answer: Any) -> None:
        running = execution("Running", "Running").replace(b'"True"', b'"False"')
        first = b"id: 7\nevent: status\ndata: " + running + b"\n\nid: 8\nevent: progress\ndata: {}\n\nid: 9\nda"
        last = b"id: 9\nevent: status\ndata: " + execution() + b"\n\n"
        stream = {"Content-Type": "text/event-stream"}
        script.answers += [answer(200, first, stream), answer(200, running, JSON), answer(200, last, stream)]
        with Client(script.url) as client:
            events = list(client.events("a-1"))
        assert [(event.kind, event.id) for event in events] == [("status", "7"), ("progress", "8"), ("status", "9")]
        assert script.requests[2][2]["Last-Event-ID"] == "8"

    def test_a_server_that_goes_away_for_a_while_is_waited_for(self, script: Any, answer: Any) -> None:
        stream = {"Content-Type": "text/event-stream"}
        running = execution("Running", "Running").replace(b'"True"', b'"False"')
        last = b"id: 9\nevent: status\ndata: " + execution() + b"\n\n"
        script.answers += [answer(202, running), answer(0), answer(0), answer(503, headers=BUSY), answer(200, running, JSON)]
        script.answers += [answer(200, last, stream), answer(200, execution()), answer(200, b"42", JSON)]
        with Client(script.url) as client:
            assert client.run("a") == 42
        assert script.answers == []
        assert [method for method, _, _ in script.requests].count("POST") == 1

    def test_an_end_the_stream_did_not_tell_is_found(self, script: Any, answer: Any) -> None:
        script.answers += [answer(200, b"", {"Content-Type": "text/event-stream"}), answer(200, execution(), JSON)]
        with Client(script.url) as client:
            assert [event.data["id"] for event in client.events("a-1")] == ["a-1"]


def test_the_key_is_sent_and_shown_nowhere(script: Any, answer: Any) -> None:
    script.answers.append(answer(200, execution()))
    with Client(script.url, "pbk_secret") as client:
        client.get("a-1")
        assert "pbk_secret" not in repr(vars(client))
    assert script.requests[0][2]["Authorization"] == "Bearer pbk_secret"


def test_pages_are_fetched_as_they_are_needed(script: Any, answer: Any) -> None:
    item = json.loads(execution())
    for cursor in ("c1", "c2", None):
        script.answers.append(answer(200, json.dumps({"items": [item, item], "nextCursor": cursor}).encode(), JSON))
    with Client(script.url) as client:
        assert len(list(client.list(notebook="a", limit=3))) == 3
        paths = [path for _, path, _ in script.requests]
        assert paths == ["/v1/executions?notebook=a&limit=3", "/v1/executions?notebook=a&limit=1&cursor=c1"]
