"""Fetching and storing, over files and over HTTP, when all is well and when it is not."""

import email.parser
import email.policy
import hashlib
import http.server
import json
import os
import socket
import sys
import threading
import time
import urllib.parse
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from pathlib import Path

import pytest

from podbook_core.execution.manifest import AttemptManifest
from podbook_core.execution.reasons import ExitCode
from podbook_core.execution.task import Destination, InputSource, Source
from podbook_runner.transfer import connection
from podbook_runner.transfer.upload import Publisher

from .conftest import ATTEMPT, PREFIX, Mount, Runner, notebook, save

SIGNATURE = "5d672d79c15b13162d9279b0855cfba6789a8edb4c82c400e06b5924a6f2b5d7"
CREDENTIAL = "PODBOOKKEYID/20261121/us-east-1/s3/aws4_request"
QUERY = f"X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Credential={urllib.parse.quote(CREDENTIAL, safe='')}&X-Amz-Signature={SIGNATURE}"
FIELDS = {
    "policy": "eyJleHBpcmF0aW9uIjogIjIwMjYtMTEtMjFUMDA6MDA6MDBaIn0=",
    "x-amz-signature": "d" * 64,
    "x-amz-credential": CREDENTIAL,
    "x-amz-algorithm": "AWS4-HMAC-SHA256",
}


@dataclass
class Bucket:
    """A store that speaks just enough HTTP: GET of what it was given, POST of forms."""

    url: str = ""
    served: dict[str, bytes] = field(default_factory=dict)
    stored: dict[str, bytes] = field(default_factory=dict)
    order: list[str] = field(default_factory=list)
    forms: list[list[tuple[str, str]]] = field(default_factory=list)
    failures: list[int] = field(default_factory=list)
    """Statuses to answer POSTs with, first to last, before any is taken."""
    refuse: int | None = None
    """Status to answer every POST with."""
    code: str = "EntityTooLarge"
    """S3's name of that error."""
    ended: set[str] = field(default_factory=set)
    """Policies that are answered so, instead of every POST."""
    refused: int = 0
    """How many POSTs were answered so."""
    hangs_up: bool = False
    """Whether it closes the connection after each answer."""


@pytest.fixture
def bucket() -> Iterator[Bucket]:
    made = Bucket()

    class Handler(http.server.BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            path, _, query = self.path.partition("?")
            if query != QUERY:
                self._answer(403, b"<Code>AccessDenied</Code>")
            elif path in made.served:
                self._answer(200, made.served[path])
            else:
                self._answer(404, b"<Code>NoSuchKey</Code>")

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            if made.refuse is not None and not made.ended:
                self._refuse(made.refuse)
                return
            if made.failures:
                self._answer(made.failures.pop(0), b"")
                return
            head = f"Content-Type: {self.headers['Content-Type']}\r\n\r\n".encode()
            form = email.parser.BytesParser(policy=email.policy.HTTP).parsebytes(head + body)
            fields: list[tuple[str, str]] = []
            content = b""
            for part in form.iter_parts():
                name = part.get_param("name", header="content-disposition")
                payload = part.get_payload(decode=True)
                assert isinstance(name, str)
                assert isinstance(payload, bytes)
                if name == "file":
                    content = payload
                    fields.append((name, ""))
                else:
                    fields.append((name, payload.decode()))
            if made.refuse is not None and dict(fields)["policy"] in made.ended:
                self._refuse(made.refuse)
                return
            made.forms.append(fields)
            key = dict(fields)["key"]
            made.stored[key] = content
            made.order.append(key)
            self._answer(204, b"")

        def _refuse(self, status: int) -> None:
            made.refused += 1
            self._answer(status, f"<Error><Code>{made.code}</Code><Policy>{FIELDS['policy']}".encode())

        def _answer(self, status: int, body: bytes) -> None:
            self.send_response(status)
            if made.hangs_up:
                self.send_header("Connection", "close")
            if status != 204:
                self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            if status != 204:
                self.wfile.write(body)

        def log_message(self, *_: object) -> None:  # type: ignore[explicit-override] # typing.override is of Python 3.12
            """Say nothing."""

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    made.url = f"http://127.0.0.1:{server.server_address[1]}"
    yield made
    server.shutdown()
    thread.join()
    server.server_close()


def _publish(bucket: Bucket, path: str, content: bytes) -> Source:
    bucket.served[path] = content
    return Source(f"{bucket.url}{path}?{QUERY}", hashlib.sha256(content).hexdigest())


def _post(bucket: Bucket) -> Destination:
    return Destination("post", f"{bucket.url}/bucket", PREFIX, FIELDS)


def test_over_http(runner: Runner, bucket: Bucket) -> None:
    content = json.dumps(
        notebook(
            "import os, pathlib\n"
            "data = pathlib.Path(os.environ['PODBOOK_INPUT_DIR'], 'a.bin').read_bytes()\n"
            "pathlib.Path(os.environ['PODBOOK_OUTPUT_DIR'], 'größe.bin').write_bytes(data * 100_000)",
            save("[1, 2]"),
        )
    ).encode()
    picture = _publish(bucket, "/inputs/1", b"abc")
    bucket.failures = [503, 429, 500]
    done = runner.start(
        runner.task(
            content,
            notebook=_publish(bucket, "/notebook.ipynb", content),
            inputs=(InputSource("a.bin", picture.url, picture.sha256, 3),),
            destination=_post(bucket),
            html=True,
        )
    ).wait()
    assert done.exit_code == ExitCode.SUCCEEDED, done.printed
    prefix = f"{PREFIX}{ATTEMPT}/"
    manifest = AttemptManifest.from_json(bucket.stored[f"{prefix}result.json"])
    assert {item.name: item.sha256 for item in manifest.files} == {
        key.removeprefix(prefix): hashlib.sha256(data).hexdigest()
        for key, data in bucket.stored.items()
        if not key.endswith("result.json")
    }
    assert bucket.stored[f"{prefix}files/größe.bin"] == b"abc" * 100_000
    assert bucket.stored[f"{prefix}output.json"] == b"[1,2]"
    assert bucket.order[-1] == f"{prefix}result.json", "the manifest comes last"
    for form in bucket.forms:
        assert form[-1][0] == "file", "S3 ignores fields after the file"
        assert FIELDS.items() <= dict(form).items()
        assert dict(form)["Content-Type"]


def test_nothing_secret_is_published(runner: Runner, bucket: Bucket) -> None:
    """What the notebook can read of the runner's credentials and prints is scrubbed everywhere.

    The cell shows that there was something to scrub: it finds each secret in the task file before it prints it, and writes
    the same in an encoding that the runner does not look for.
    """
    secrets = [SIGNATURE, CREDENTIAL, urllib.parse.quote(CREDENTIAL, safe=""), QUERY, FIELDS["policy"], FIELDS["x-amz-signature"]]
    task_file = runner.folder / "task.json"
    content = json.dumps(
        notebook(
            f"text = open({str(task_file)!r}).read()\n"
            "import json, sys\nfrom IPython.display import HTML, display\n"
            "print(text); print(text, file=sys.stderr)\ndisplay(HTML(text))\n"
            "print('reversed', text[::-1])\n" + save("text"),
            "raise ValueError(text)",
        )
    ).encode()
    done = runner.start(
        runner.task(
            content, notebook=_publish(bucket, "/notebook.ipynb", content), destination=_post(bucket), html=True, report=True
        )
    ).wait()
    assert done.exit_code == ExitCode.CELL_FAILED, done.printed
    prefix = f"{PREFIX}{ATTEMPT}/"
    assert {key.removeprefix(prefix) for key in bucket.stored} >= {
        "notebook.ipynb",
        "report.html",
        "report-no-input.html",
        "output.json",
        "log.txt",
        "result.json",
    }
    assert SIGNATURE[::-1] in bucket.stored[f"{prefix}notebook.ipynb"].decode(), "the notebook did see the signature"
    everything = {name: data.decode() for name, data in bucket.stored.items()}
    everything["termination message"] = runner.termination_log.read_text()
    everything["standard output"] = done.printed
    for name, text in everything.items():
        for secret in secrets:
            assert secret not in text, f"{name} holds a secret"
            assert json.dumps(secret)[1:-1] not in text
    assert "[redacted]" in everything[f"{prefix}report.html"]


@pytest.mark.parametrize(
    ("address", "exit_code", "told"),
    [
        (f"/missing.ipynb?{QUERY}", ExitCode.NOTEBOOK_NOT_FOUND, "not in the store"),
        ("/notebook.ipynb?X-Amz-Signature=" + "e" * 64, ExitCode.STORAGE_FAILED, "HTTP 403"),
    ],
    ids=["missing", "expired"],
)
def test_a_notebook_that_cannot_be_fetched(runner: Runner, bucket: Bucket, address: str, exit_code: ExitCode, told: str) -> None:
    source = _publish(bucket, "/notebook.ipynb", b"{}")
    done = runner.run(b"{}", notebook=Source(bucket.url + address, source.sha256))
    assert done.exit_code == exit_code, done.printed
    assert told in done.manifest.message
    assert "?" not in done.printed
    assert "notebook.ipynb" not in done.names


def test_something_else_than_was_published(runner: Runner) -> None:
    task = runner.task(notebook("print('un' + 'reached')"))
    done = runner.run(b"", notebook=Source(task.notebook.url, "0" * 64))
    assert done.exit_code == ExitCode.STORAGE_FAILED
    assert "SHA-256" in done.manifest.message


def test_an_input_of_another_size(runner: Runner) -> None:
    given = runner.input("a", b"12345")
    done = runner.run(notebook("1"), inputs=(InputSource("a", given.url, given.sha256, 4),))
    assert done.exit_code == ExitCode.STORAGE_FAILED
    assert "the input file 'a'" in done.manifest.message


@pytest.mark.parametrize("name", ["../a", "/etc/a", "..", ""])
def test_an_input_name_that_would_leave_its_folder(runner: Runner, name: str) -> None:
    given = runner.input("a", b"12345")
    done = runner.run(notebook("1"), inputs=(InputSource(name, given.url, given.sha256, 5),))
    assert done.exit_code == ExitCode.CONFIGURATION_ERROR


def test_a_store_that_refuses(runner: Runner, bucket: Bucket) -> None:
    bucket.refuse = 400
    done = runner.run(notebook("1"), destination=_post(bucket))
    assert done.exit_code == ExitCode.STORAGE_FAILED
    assert "HTTP 400 (EntityTooLarge)" in done.printed
    assert FIELDS["policy"] not in done.printed


TEMPORARY = {**FIELDS, "x-amz-security-token": "t" * 40}
RENEWED = {**TEMPORARY, "policy": "cmVuZXdlZA==", "x-amz-signature": "e" * 64}


@pytest.mark.parametrize(("status", "code"), [(400, "ExpiredToken"), (403, "InvalidAccessKeyId")])
def test_access_that_has_ended_is_waited_for(runner: Runner, bucket: Bucket, status: int, code: str) -> None:
    """The operator was away when the credentials ended, and comes back while the results wait to be stored."""
    bucket.refuse, bucket.code, bucket.ended = status, code, {TEMPORARY["policy"]}
    mount = Mount(runner.folder / "mounted")
    task = runner.task(notebook(save("1")), destination=Destination("post", f"{bucket.url}/bucket", PREFIX, TEMPORARY))
    mount.put(task.to_json())
    started = runner.start(task, arguments=["--task", str(mount.file)])
    started.wait_for(lambda: bucket.refused >= 3)
    assert bucket.stored == {}
    mount.put(replace(task, destination=Destination("post", f"{bucket.url}/bucket", PREFIX, RENEWED)).to_json())
    done = started.wait()
    assert done.exit_code == ExitCode.SUCCEEDED, done.printed
    assert bucket.order[-1] == f"{PREFIX}{ATTEMPT}/result.json"
    assert all(RENEWED.items() <= dict(form).items() for form in bucket.forms)


def test_access_that_has_ended_and_is_never_renewed(runner: Runner, bucket: Bucket) -> None:
    bucket.refuse, bucket.code = 400, "ExpiredToken"
    destination = Destination("post", f"{bucket.url}/bucket", PREFIX, TEMPORARY)
    done = runner.run(notebook("1"), destination=destination, publish_timeout_seconds=2)
    assert done.exit_code == ExitCode.STORAGE_FAILED
    assert "HTTP 400 (ExpiredToken)" in done.printed


def test_what_was_refused_is_sent_again_when_the_access_was_renewed_meanwhile(bucket: Bucket) -> None:
    bucket.refuse, bucket.code, bucket.ended = 403, "AccessDenied", {FIELDS["policy"]}
    old, new = (Destination("post", f"{bucket.url}/bucket", PREFIX, fields) for fields in (FIELDS, {**FIELDS, "policy": "renewed"}))
    publisher = Publisher(lambda: new if bucket.refused else old, PREFIX)
    stored = publisher.put("a.txt", b"data", "text/plain", lambda: time.monotonic() + 60)
    publisher.close()
    assert stored.size == 4
    assert (bucket.refused, bucket.stored) == (1, {f"{PREFIX}a.txt": b"data"})


def test_a_store_that_hangs_up_after_each_answer(bucket: Bucket) -> None:
    bucket.hangs_up = True
    destination = _post(bucket)
    publisher = Publisher(lambda: destination, PREFIX)
    for name in ("a.txt", "b.txt"):
        publisher.put(name, b"data", "text/plain")
    publisher.close()
    assert bucket.order == [f"{PREFIX}a.txt", f"{PREFIX}b.txt"]


@pytest.mark.skipif(sys.platform != "linux", reason="other systems refuse where Linux says nothing")
def test_a_store_on_a_way_that_leads_nowhere_is_given_up_early(monkeypatch: pytest.MonkeyPatch) -> None:
    """However long it might take to answer: a new connection may find the way."""
    monkeypatch.setattr(connection, "_CONNECT_SECONDS", 0.2)
    with ExitStack() as open_sockets:
        listener = open_sockets.enter_context(socket.socket())
        listener.bind(("127.0.0.1", 0))
        listener.listen(0)
        for _ in range(4):  # its queue is full from the first or second one on, and what comes then is lost without a word
            caller = open_sockets.enter_context(socket.socket())
            caller.setblocking(False)
            caller.connect_ex(listener.getsockname())
        host, port = listener.getsockname()
        with pytest.raises(TimeoutError):
            connection.connect(urllib.parse.urlsplit(f"http://{host}:{port}/bucket"), 3600)


def test_a_store_that_stays_away(runner: Runner) -> None:
    destination = Destination("post", "http://127.0.0.1:9/bucket", PREFIX, FIELDS)
    done = runner.run(notebook("1"), destination=destination, publish_timeout_seconds=2)
    assert done.exit_code == ExitCode.STORAGE_FAILED
    assert done.termination is not None
    assert done.termination["reason"] == "StorageFailed"
    assert "the cells ended: Succeeded" in done.termination["message"]


def test_a_store_that_is_a_file(runner: Runner) -> None:
    runner.store.write_text("in the way")
    done = runner.start(runner.task(notebook("1"), publish_timeout_seconds=1)).wait()
    assert done.exit_code == ExitCode.STORAGE_FAILED


def test_a_full_disk(runner: Runner) -> None:
    if os.geteuid() != 0 or not Path("/dev/full").exists():
        pytest.skip("needs /dev/full")
    # Everything written there fails with "no space left on device".
    done = runner.start(runner.task(notebook("1")), arguments=["--termination-log", "/dev/full"]).wait()
    assert done.exit_code == ExitCode.SUCCEEDED
    assert "/dev/full cannot be written" in done.printed


def test_a_work_dir_that_cannot_be_used(runner: Runner) -> None:
    (runner.folder / "file").write_text("")
    runner.work = runner.folder / "file" / "w"
    done = runner.start(runner.task(notebook("1"))).wait()
    assert done.exit_code == ExitCode.CONFIGURATION_ERROR
    assert "working directory" in done.printed


@pytest.mark.parametrize("document", [b"", b"{}", b"[]", b'{"execution": "x"}', b"\xff"])
def test_a_task_that_is_not_understood(runner: Runner, document: bytes) -> None:
    done = runner.start(document).wait()
    assert done.exit_code == ExitCode.CONFIGURATION_ERROR
    assert done.termination is not None
    assert done.termination["reason"] == "ConfigurationError"
    assert "task document" in done.printed


def test_a_task_file_that_is_missing(runner: Runner) -> None:
    started = runner.start(b"", arguments=["--task", str(runner.folder / "nowhere")])
    done = started.wait()
    assert done.exit_code == ExitCode.CONFIGURATION_ERROR
    assert "the task file cannot be read: No such file or directory" in done.printed
