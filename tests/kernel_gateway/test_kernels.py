"""Kernels of the gateway: they keep their state, their number, and their requests apart, whatever a notebook does to them."""

import json
import os
import re
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from tests.support.gateway import Gateway, write_notebook

CELLS = [
    "import json, os, signal, subprocess, sys, threading, time\nstate = []",
    "# PUT /state/:item\nstate.append(json.loads(REQUEST)['path']['item'])\nprint(len(state))",
    "# GET /state\nprint(json.dumps(state))",
    "# GET /pid\nprint(os.getpid())",
    "# GET /die\nos.kill(os.getpid(), signal.SIGKILL)",
    "# GET /exit\nprint('bye')\nexit()",
    "# GET /hang\nwhile True:\n    pass",
    (
        "# GET /deaf\nchild = subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(600)'])\n"
        "print(child.pid, file=open('child.pid', 'w'), flush=True)\nsignal.signal(signal.SIGINT, signal.SIG_IGN)\nwhile True:\n    pass"
    ),
    "# GET /raise\nraise ValueError('no')",
    "# GET /large\nprint('x' * (70 * 1024 * 1024))",
    "# POST /size\nprint(len(json.loads(REQUEST)['body']))",
    "# GET /sleep/:seconds\ntime.sleep(float(json.loads(REQUEST)['path']['seconds']))\nprint('slept')",
    "# GET /environment\nprint(json.dumps(dict(os.environ)))",
    (
        "# GET /parents\nfound = []\npid = os.getpid()\nwhile pid > 1:\n    status = open(f'/proc/{pid}/stat').read()\n"
        "    pid = int(status[status.rindex(')') + 2:].split()[1])\n"
        "    try:\n        found.append(open(f'/proc/{pid}/environ').read())\n    except OSError as error:\n        found.append(type(error).__name__)\n"
        "print(json.dumps(found))"
    ),
]
SECONDS = "--NotebookHTTPPersonality.request_timeout=3"


@pytest.fixture(scope="module")
def gateway(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    notebook = write_notebook(tmp_path_factory.mktemp("kernels") / "work" / "kernels.ipynb", CELLS)
    with Gateway(notebook, SECONDS, environment={"KG_AUTH_TOKEN": "s3cret-t0ken"}) as made:
        yield made


TOKEN = {"Authorization": "token s3cret-t0ken"}


def lives(pid: int) -> bool:
    """Whether a process runs."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def wait_until_gone(pid: int) -> None:
    """Wait for the end of a process."""
    deadline = time.monotonic() + 20
    while lives(pid):
        assert time.monotonic() < deadline
        time.sleep(0.05)


def test_a_kernel_that_dies_ends_its_own_request_and_is_replaced(gateway: Gateway) -> None:
    before = int(gateway.send("/pid", headers=TOKEN).text)
    answer = gateway.send("/die", headers=TOKEN)
    assert (answer.status, answer.json) == (
        500,
        {"reason": "Internal Server Error", "message": "the kernel was killed by signal SIGKILL"},
    )
    assert int(gateway.send("/pid", headers=TOKEN).text) != before
    assert gateway.send("/state", headers=TOKEN).json == []


def test_a_request_that_takes_too_long_is_interrupted_and_the_state_stays(gateway: Gateway) -> None:
    gateway.send("/state/kept", "PUT", headers=TOKEN)
    before = gateway.send("/pid", headers=TOKEN).text
    answer = gateway.send("/hang", headers=TOKEN)
    assert (answer.status, answer.json) == (
        504,
        {"reason": "Gateway Timeout", "message": "the cells did not end within 3 seconds"},
    )
    assert gateway.send("/pid", headers=TOKEN).text == before
    assert "kept" in gateway.send("/state", headers=TOKEN).json


def test_a_kernel_that_does_not_listen_is_killed_with_all_it_has_started(gateway: Gateway) -> None:
    before = int(gateway.send("/pid", headers=TOKEN).text)
    assert gateway.send("/deaf", headers=TOKEN).status == 504
    assert int(gateway.send("/pid", headers=TOKEN).text) != before
    wait_until_gone(before)
    folder = next(path for path in Path(gateway._output.parent).glob("work/child.pid"))
    wait_until_gone(int(folder.read_text()))


def test_exit_answers_and_the_kernel_is_replaced(gateway: Gateway) -> None:
    before = gateway.send("/pid", headers=TOKEN).text
    answer = gateway.send("/exit", headers=TOKEN)
    assert (answer.status, answer.text) == (200, "bye\n")
    assert gateway.send("/pid", headers=TOKEN).text != before


def test_an_exception_touches_no_later_request(gateway: Gateway) -> None:
    for _ in range(30):
        assert gateway.send("/raise", headers=TOKEN).text == "Error ValueError: no \n"
        assert gateway.send("/pid", headers=TOKEN).text.strip().isdigit()


def test_output_beyond_the_limit_ends_the_kernel_and_says_so(gateway: Gateway) -> None:
    answer = gateway.send("/large", headers=TOKEN)
    assert answer.status == 500
    assert "its output had more than" in answer.json["message"]
    assert gateway.send("/state", headers=TOKEN).status == 200


def test_a_large_body_reaches_the_cell(gateway: Gateway) -> None:
    assert gateway.send("/size", "POST", headers=TOKEN, content=b"a" * 2_000_000).text == "2000000\n"


@pytest.mark.parametrize("character", ['"', "é"])
def test_a_body_that_is_too_large_as_a_text_of_the_kernel_is_refused_and_the_kernel_stays(gateway: Gateway, character: str) -> None:
    before = gateway.send("/pid", headers=TOKEN).text
    answer = gateway.send("/size", "POST", headers=TOKEN, content=(character * 20_000_000).encode())
    assert (answer.status, answer.json["reason"]) == (413, "Request Entity Too Large")
    assert gateway.send("/pid", headers=TOKEN).text == before


def test_a_body_above_the_limit_is_refused_at_once(gateway: Gateway) -> None:
    headers = {**TOKEN, "Content-Length": str(200 * 1024 * 1024)}
    answer = gateway.send("/size", "POST", headers=headers)
    assert answer.status == 413
    assert answer.json["reason"] == "Request Entity Too Large"


def test_the_token_does_not_reach_the_notebook(gateway: Gateway) -> None:
    environment = gateway.send("/environment", headers=TOKEN).json
    assert "KG_AUTH_TOKEN" not in environment
    assert "s3cret-t0ken" not in json.dumps(environment)
    if os.getuid() != 0:  # root reads everything
        assert "s3cret-t0ken" not in gateway.send("/parents", headers=TOKEN).text


def test_a_token_of_the_command_line_cannot_be_read_there(tmp_path: Path) -> None:
    notebook = write_notebook(tmp_path / "work" / "n.ipynb", CELLS)
    for options in (["--KernelGatewayApp.auth_token=s3cret-t0ken"], ["--KernelGatewayApp.auth_token", "s3cret-t0ken"]):
        with Gateway(notebook, *options) as gateway:
            assert gateway.send("/pid").status == 401
            assert gateway.send("/pid", headers=TOKEN).status == 200
            assert "s3cret-t0ken" not in Path(f"/proc/{gateway.process.pid}/cmdline").read_text()
            assert "s3cret-t0ken" not in json.dumps(gateway.send("/environment", headers=TOKEN).json)


def test_replies_and_output_of_many_requests_do_not_pile_up(tmp_path: Path) -> None:
    cells = ["# GET /\npass", "# GET /worker\nimport os\nprint(os.getppid())"]
    with Gateway(write_notebook(tmp_path / "work" / "n.ipynb", cells)) as gateway:
        worker = int(gateway.send("/worker").text)

        def memory() -> int:
            found = re.search(r"VmRSS:\s+(\d+)", Path(f"/proc/{worker}/status").read_text())
            assert found is not None
            return int(found[1])

        for _ in range(300):
            gateway.send("/")
        before = memory()
        for _ in range(1500):
            gateway.send("/")
        assert memory() - before < 4096  # KiB; a reply that is left unread holds more than 2 KiB


def test_kernels_take_requests_in_turn_and_wait_for_each_other(tmp_path: Path) -> None:
    notebook = write_notebook(tmp_path / "work" / "n.ipynb", CELLS)
    with Gateway(notebook, "--KernelGatewayApp.prespawn_count=2") as gateway:
        pids = [gateway.send("/pid").text for _ in range(4)]
        assert pids[:2] == pids[2:]
        assert len(set(pids)) == 2
        with ThreadPoolExecutor(6) as threads:
            answers = list(threads.map(lambda _number: gateway.send("/sleep/0.2").text, range(6)))
        assert answers == ["slept\n"] * 6


def test_all_processes_end_with_the_gateway(tmp_path: Path) -> None:
    notebook = write_notebook(tmp_path / "work" / "n.ipynb", CELLS)
    with Gateway(notebook) as gateway:
        kernel = int(gateway.send("/pid").text)
        assert gateway.stop() == 0
    wait_until_gone(kernel)
    with Gateway(notebook) as gateway:
        kernel = int(gateway.send("/pid").text)
        with ThreadPoolExecutor(1) as threads:
            threads.submit(gateway.send, "/hang")
            time.sleep(0.5)
            gateway.process.kill()
    wait_until_gone(kernel)


def test_a_set_up_that_fails_is_said_at_the_start(tmp_path: Path) -> None:
    notebook = write_notebook(tmp_path / "n.ipynb", ["raise ValueError('not today')", "# GET /\npass"])
    command = [sys.executable, "-m", "podbook", "kernelgateway", "--KernelGatewayApp.api=notebook-http", "--port=0"]
    done = subprocess.run([*command, f"--seed_uri={notebook}"], capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 1
    assert "a set-up cell raised ValueError: not today" in done.stderr
    assert "Traceback" not in done.stderr
