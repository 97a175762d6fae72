"""What a notebook wrote into its attempt, of any size and shape, costs its reader next to nothing."""

import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from typing_extensions import override

from podbook_core.execution.model import Progress
from podbook_core.results.attempts import Attempts
from podbook_core.store.directory import DirectoryStore
from podbook_core.store.keys import attempt_prefix, result_key
from podbook_core.store.limits import MAX_LOG_BYTES

from .builders import manifest

GIB = 1024**3
FILES = ("progress.json", "result.json", "output.json", "log.txt")


class EndlessAnswers(ThreadingHTTPServer):
    """An S3 service whose every object is a gibibyte. Counts what clients took."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Gibibyte)
        self.sent = 0


class _Gibibyte(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: EndlessAnswers

    def do_GET(self) -> None:
        listing = "list-type" in self.path
        self.send_response(200)
        if listing:
            body = b"<ListBucketResult><IsTruncated>false</IsTruncated><CommonPrefixes><Prefix>executions/u/attempts/a/</Prefix></CommonPrefixes></ListBucketResult>"
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)
            return
        self.send_header("Content-Length", str(GIB))
        self.send_header("ETag", '"0"')
        self.end_headers()
        chunk = b"x" * 65536
        try:
            for _ in range(GIB // len(chunk)):
                self.wfile.write(chunk)
                self.server.sent += len(chunk)
        except OSError:
            self.close_connection = True

    @override
    def log_message(self, format: str, *args: object) -> None:
        """Stay silent."""


@pytest.fixture
def endless() -> Iterator[EndlessAnswers]:
    server = EndlessAnswers()
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield server
    server.shutdown()
    thread.join()
    server.server_close()


PEAK = """
def peak():
    # Not ru_maxrss, which a process inherits from the one that started it.
    return int(open("/proc/self/status").read().split("VmHWM:")[1].split()[0])
"""
READER = f"""
import sys
{PEAK}
from podbook_core.results.attempts import Attempts
from podbook_core.store.s3 import S3Settings, S3Store
store = S3Store(S3Settings(bucket="b", endpoint=sys.argv[1], access_key="k", secret_key="s"))
attempts = Attempts(store)
before = peak()
assert attempts.progress("u", "a") is None
assert attempts.manifest("u", "a") is None
assert attempts.running_progress("u") is None
print(peak() - before)
"""


def test_a_gibibyte_in_a_bucket_is_not_read(endless: EndlessAnswers) -> None:
    """In a process of its own, whose peak of memory is its own."""
    address = f"http://127.0.0.1:{endless.server_address[1]}"
    done = subprocess.run([sys.executable, "-c", READER, address], capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 0, done.stderr
    assert int(done.stdout) < 64 * 1024, "KiB of memory that reading took"
    assert endless.sent < 64 * 1024 * 1024, "what the service had sent, socket buffers included"


@pytest.fixture
def hostile(tmp_path: Path) -> DirectoryStore:
    """A store with an attempt all of whose files are a gibibyte; sparse, so that they take no room."""
    store = DirectoryStore(tmp_path)
    for name in FILES:
        path = tmp_path / attempt_prefix("u", "a") / name
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("wb") as file:
            file.truncate(GIB)
    return store


DIRECTORY_READER = f"""
import sys
from pathlib import Path
{PEAK}
from podbook_core.results.attempts import Attempts
from podbook_core.store.directory import DirectoryStore
attempts = Attempts(DirectoryStore(Path(sys.argv[1])))
before = peak()
assert attempts.progress("u", "a") is None
assert attempts.manifest("u", "a") is None
assert attempts.manifests("u") == {{"a": None}}
assert len(attempts.running_log("u")) == {MAX_LOG_BYTES}
print(peak() - before)
"""


def test_a_gibibyte_in_a_directory_is_not_read(hostile: DirectoryStore) -> None:
    done = subprocess.run(
        [sys.executable, "-c", DIRECTORY_READER, str(hostile.root)], capture_output=True, text=True, check=False, timeout=60
    )
    assert done.returncode == 0, done.stderr
    assert int(done.stdout) < 64 * 1024, "KiB of memory that reading took"


def test_a_pipe_or_a_link_in_place_of_a_file_is_not_followed(tmp_path: Path) -> None:
    store = DirectoryStore(tmp_path / "store")
    folder = store.root / attempt_prefix("u", "a")
    folder.mkdir(parents=True)
    os.mkfifo(folder / "progress.json")
    (tmp_path / "secret").write_text("secret")
    (folder / "log.txt").symlink_to(tmp_path / "secret")
    attempts = Attempts(store)
    assert attempts.progress("u", "a") is None
    assert attempts.log("u", "a") == b""


def test_the_attempt_that_runs_is_the_one_without_a_manifest(tmp_path: Path) -> None:
    store = DirectoryStore(tmp_path)
    for attempt, completed in (("z-first", 9), ("a-second", 1)):
        store.put(attempt_prefix("u", attempt) + "progress.json", b'{"completed": %d, "total": 9}' % completed)
    store.put(result_key("u", "z-first"), replace(manifest(attempt="z-first"), uid="u").to_json())
    assert Attempts(store).running_progress("u") == Progress(completed=1, total=9)
    assert list(Attempts(store).manifests("u")) == ["z-first"]


def test_any_number_of_made_up_attempts_is_looked_at_a_few_times(tmp_path: Path) -> None:
    store = DirectoryStore(tmp_path)
    for number in range(60):
        (tmp_path / attempt_prefix("u", f"{number:03}")).mkdir(parents=True)
        (tmp_path / result_key("u", f"{number:03}")).write_bytes(b"{}")
    assert len(Attempts(store).manifests("u")) == 20
