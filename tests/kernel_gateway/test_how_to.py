"""The page about moving from the gateway is typed as it stands: its notebook, its command, its requests."""

import os
import re
import socket
import subprocess
import sys
import time
from pathlib import Path

from tests.docs.conftest import ROOT
from tests.support.gateway import write_notebook
from tests.support.server import running
from tests.support.transcripts import pattern, steps

from podbook_api.settings import ApiSettings

PAGE = ROOT / "docs/how-to/move-from-kernel-gateway.md"


def blocks(kind: str) -> list[str]:
    """The page's code blocks of a kind."""
    return re.findall(rf"^```{kind}\n(.*?)^```$", PAGE.read_text(), flags=re.DOTALL | re.MULTILINE)


def test_the_page_can_be_typed(tmp_path: Path) -> None:
    write_notebook(tmp_path / "Notebook.ipynb", blocks("python"))
    before, after = blocks("sh")
    assert before.replace("jupyter", "podbook", 1) == after
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    environment = {**os.environ, "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}", "KG_PORT": str(port)}
    environment["JUPYTER_CONFIG_DIR"] = str(tmp_path)
    log = tmp_path / "log.txt"
    with log.open("wb") as output:
        process = subprocess.Popen(["bash", "-c", f"exec {after}"], cwd=tmp_path, env=environment, stdout=output, stderr=output)
    try:
        deadline = time.monotonic() + 60
        while f"Jupyter Kernel Gateway at http://127.0.0.1:{port}" not in log.read_text():
            assert process.poll() is None, log.read_text()
            assert time.monotonic() < deadline, log.read_text()
            time.sleep(0.05)
        typed = list(steps(PAGE.read_text(), "console gateway"))
        assert typed
        for step in typed:
            done = subprocess.run(
                ["bash", "-c", step.command.replace("8888", str(port))], capture_output=True, text=True, check=True
            )
            assert pattern(step.shown).fullmatch(done.stdout.strip()), (step.command, done.stdout)
    finally:
        process.terminate()
        process.wait(30)


def test_what_it_shows_of_every_server_can_be_typed(tmp_path: Path) -> None:
    write_notebook(tmp_path / "notebooks" / "Notebook.ipynb", blocks("python"))
    typed = list(steps(PAGE.read_text(), "console http"))
    assert typed
    with running(ApiSettings(data_dir=tmp_path / "data", notebooks_dir=tmp_path / "notebooks", max_concurrent=1)) as server:
        for step in typed:
            command = step.command.replace("http://127.0.0.1:8000", server.url)
            done = subprocess.run(["bash", "-c", command], capture_output=True, text=True, check=True)
            assert pattern(step.shown).fullmatch(done.stdout.strip()), (step.command, done.stdout)
