"""What a client may do with a connection: send its request in time, end it clearly, and not hold too many."""

import json
import logging
import socket
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any
from urllib.parse import urlsplit

import httpx
import pytest
from tests.support.server import Server, running

from podbook_api.http_server import redact_query
from podbook_api.middleware.errors_and_audit import SECURITY_HEADERS, framing_problem
from podbook_api.settings import ApiSettings

from .samples import write_folder


@contextmanager
def connected(server: Server, text: str = "") -> Iterator[socket.socket]:
    """A connection on which a text has been sent."""
    parts = urlsplit(server.url)
    with socket.create_connection((parts.hostname or "", parts.port or 0), timeout=60) as connection:
        connection.sendall(text.replace("\n", "\r\n").encode())
        yield connection


def everything(connection: socket.socket) -> bytes:
    """What comes until the server closes the connection."""
    data = b""
    while True:
        try:
            chunk = connection.recv(65536)
        except ConnectionResetError:  # closed while we had sent more than was read
            return data
        if not chunk:
            return data
        data += chunk


def problem(answer: bytes) -> tuple[int, dict[str, Any]]:
    """Status and document of one answer, which must be all there is, and hardened."""
    head, _, body = answer.partition(b"\r\n\r\n")
    fields = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in head.decode().split("\r\n")[1:])}
    assert fields["content-type"] == "application/problem+json"
    assert fields["connection"] == "close"
    assert {name.lower() for name in SECURITY_HEADERS} <= set(fields)
    return int(head.split()[1]), json.loads(body)


NEXT = "GET /healthz HTTP/1.1\nHost: localhost\n\n"


@pytest.mark.parametrize(
    "request_text",
    [
        "POST /v1/run/quiet HTTP/1.1\nHost: localhost\nContent-Length: 4\nTransfer-Encoding: chunked\n\n0\n\n",
        "POST /v1/run/quiet HTTP/1.1\nHost: localhost\nTransfer-Encoding: chunked\nContent-Length: 4\n\n0\n\n",
        "GET /healthz HTTP/1.1\nHost: localhost\nTransfer-Encoding: chunked\nContent-Length: 5\n\n0\n\n",
        "POST /v1/run/quiet HTTP/1.0\nHost: localhost\nTransfer-Encoding: chunked\n\n0\n\n",
        "POST /v1/run/quiet HTTP/1.1\nHost: localhost\nContent-Length: 4\nContent-Length: 5\n\n{}{}",
        "this is not HTTP\n\n",
    ],
)
def test_a_request_whose_end_is_unclear_is_refused_with_all_that_follows(server: Server, request_text: str) -> None:
    with connected(server, request_text + NEXT) as connection:
        answer = everything(connection)
    assert answer.count(b"HTTP/1.1 ") == 1
    assert problem(answer)[0] == 400


def test_two_requests_on_one_connection_are_answered(server: Server) -> None:
    with connected(server, NEXT + NEXT.replace("\n\n", "\nConnection: close\n\n")) as connection:
        assert everything(connection).count(b"HTTP/1.1 200") == 2


@pytest.mark.parametrize("version", ["1.1", "2"])
def test_both_lengths_are_refused_under_any_server(version: str) -> None:
    both = [(b"content-length", b"1"), (b"transfer-encoding", b"chunked")]
    refused = framing_problem({"headers": both, "http_version": version})
    assert refused is not None
    assert refused.headers == {"Connection": "close"}
    for headers in ([], both[:1], both[1:]):
        assert framing_problem({"headers": headers, "http_version": "1.1"}) is None


@pytest.fixture(scope="module")
def hurried(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server that waits for a second."""
    base = tmp_path_factory.mktemp("hurried")
    write_folder(base / "notebooks")
    settings = ApiSettings(data_dir=base / "data", notebooks_dir=base / "notebooks", request_timeout_seconds=1, max_connections=16)
    with running(settings) as made:
        yield made


@pytest.mark.parametrize(
    "begun",
    [
        "",
        "GET /heal",
        "GET /healthz HTTP/1.1\nHost: localhost\n",
        "POST /v1/run/quiet HTTP/1.1\nHost: localhost\nContent-Type: application/json\nContent-Length: 10\n\n{",
        "POST /v1/run/quiet HTTP/1.1\nHost: localhost\nContent-Type: text/csv\nTransfer-Encoding: chunked\n\n1\nx\n",
    ],
)
def test_what_does_not_arrive_in_time_is_closed(hurried: Server, begun: str) -> None:
    with connected(hurried, begun) as connection:
        status, document = problem(everything(connection))
    assert (status, document["code"]) == (408, "RequestTimeout")


def test_a_drip_of_bytes_wins_no_time(hurried: Server) -> None:
    with connected(hurried, "GET /healthz HTTP/1.1\nHost: localhost\n") as connection:
        connection.settimeout(0.2)
        for _ in range(300):
            try:
                connection.sendall(b"A: b\r\n")
                if connection.recv(65536).startswith(b"HTTP/1.1 408"):
                    return
            except TimeoutError:
                continue
    pytest.fail("it was never closed")


@pytest.mark.parametrize("first", [0, 200_000])
def test_a_body_that_stalls_is_closed_however_much_has_come(hurried: Server, first: int) -> None:
    head = "POST /v1/run/quiet HTTP/1.1\nHost: localhost\nContent-Type: text/csv\nContent-Length: 1000000\n\n"
    with connected(hurried, head + "x" * first) as connection:
        assert problem(everything(connection))[1]["code"] == "RequestTimeout"


def test_a_body_that_comes_steadily_is_read_to_its_end(hurried: Server) -> None:
    head = "POST /v1/run/double HTTP/1.1\nHost: localhost\nConnection: close\nContent-Type: application/json\nContent-Length: 60000\n\n"
    with connected(hurried, head) as connection:
        for part in (b'{"x":2' + b" " * 9994, *[b" " * 10_000] * 4, b" " * 9999 + b"}"):
            time.sleep(0.5)
            connection.sendall(part)
        assert everything(connection).endswith(b'{"twice":4}')


def test_a_body_that_nobody_reads_is_timed_as_well(hurried: Server) -> None:
    head = "POST /v1/nothing HTTP/1.1\nHost: localhost\nContent-Length: 1000\n\n"
    with connected(hurried, head) as connection:
        assert everything(connection).startswith(b"HTTP/1.1 404")


def test_long_answers_and_idle_connections_are_not_timed(hurried: Server) -> None:
    with httpx.Client(base_url=hurried.url, timeout=60) as client:
        response = client.post("/v1/run/sleeper", json={"seconds": 2})
        assert response.json() == {"slept": 2}


@pytest.fixture(scope="module")
def narrow(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server with 16 connections."""
    base = tmp_path_factory.mktemp("narrow")
    write_folder(base / "notebooks")
    with running(ApiSettings(data_dir=base / "data", notebooks_dir=base / "notebooks", max_connections=16)) as made:
        yield made


def test_connections_above_the_bound_are_told_to_come_again(narrow: Server) -> None:
    begun = "POST /v1/run/quiet HTTP/1.1\nHost: localhost\nExpect: 100-continue\nContent-Type: text/csv\nContent-Length: 9\n\n"
    with ExitStack() as opened:
        for _ in range(16):
            assert b" 100 " in opened.enter_context(connected(narrow, begun)).recv(65536)
        status, document = problem(everything(opened.enter_context(connected(narrow))))
        assert (status, document["code"]) == (503, "TooManyConnections")


def test_connections_without_a_request_give_way_to_those_with_one(narrow: Server) -> None:
    with ExitStack() as opened:
        silent = [opened.enter_context(connected(narrow)) for _ in range(16)]
        for _ in range(16):
            opened.enter_context(connected(narrow, NEXT))  # answered, and kept open
        assert problem(everything(silent[0]))[1]["code"] == "TooManyConnections"
        for _ in range(20):
            assert httpx.get(f"{narrow.url}/healthz").status_code == 200


def test_a_caller_that_leaves_is_no_error(server: Server, caplog: pytest.LogCaptureFixture) -> None:
    def count(status: str) -> float:
        text = httpx.get(f"{server.url}/metrics").text
        name = 'podbook_api_request_seconds_count{method="POST",route="/v1/run/{notebook}",status="%s"}'
        return sum(float(line.rpartition(" ")[2]) for line in text.splitlines() if line.startswith(name % status))

    caplog.set_level(logging.INFO, logger="podbook_api")
    left, failed = count("499"), count("500")
    for kind in ("application/json", "text/csv", "multipart/form-data; boundary=x"):
        head = f"POST /v1/run/quiet HTTP/1.1\nHost: localhost\nContent-Type: {kind}\nContent-Length: 100\n\n--x\n"
        with connected(server, head):
            pass
    waited = 0
    while count("499") < left + 3 and waited < 500:
        waited += 1
    assert count("499") == left + 3
    assert count("500") == failed
    assert [record for record in caplog.records if record.levelno >= logging.WARNING] == []
    assert sum("disconnected before its request was complete" in record.getMessage() for record in caplog.records) == 3


@pytest.mark.parametrize(
    ("target", "shown"),
    [
        ("/v1/executions/a/html?expires=9&signature=abc", "/v1/executions/a/html?expires=***&signature=***"),
        ("/v1/executions?limit=5&phase=Failed", "/v1/executions?limit=5&phase=Failed"),
        ("/x?token=a=b&c", "/x?token=***&c"),
        ("/x?%73ignature=abc", "/x?%73ignature=***"),
        ("/healthz", "/healthz"),
    ],
)
def test_the_access_log_shows_no_secrets_of_addresses(target: str, shown: str) -> None:
    assert redact_query(target) == shown


def test_the_access_log_of_a_server_shows_no_signature(server: Server, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO, logger="uvicorn.access"):
        httpx.get(f"{server.url}/v1/executions/none/html", params={"expires": 5, "signature": "SECRET", "limit": 7})
        httpx.get(f"{server.url}/healthz")
    lines = [record.getMessage() for record in caplog.records if record.name == "uvicorn.access"]
    assert any("/v1/executions/none/html?expires=***&signature=***&limit=7" in line for line in lines)
    assert not any("SECRET" in line for line in lines)
