"""Makes ``tests/data/0.1.0``: what the real 0.1.0 leaves of a server that was killed. Run it as ``python -m tests.data.make_0_1_0``.

There are notebooks of the folder and one published over REST (with assets), an ended run with an idempotency key, a failed run, one run
that was under way and one that waited. The files need never be made again; this says how they came about.
"""

import json
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import httpx
from tests.support.notebook_file import SAVE, notebook_file
from tests.support.old_version import FIXTURES, environment, unpack

_PLAIN = {"html": False, "report": False}
_CONTRACT = {
    "title": "Double a number",
    "input": {"type": "object", "properties": {"x": {"type": "integer"}}, "additionalProperties": False},
    "output": {"type": "object", "required": ["twice"]},
    "timeoutSeconds": 60,
}


def _notebooks(folder: Path) -> None:
    folder.mkdir()
    (folder / "double.ipynb").write_bytes(notebook_file(["x = 1", SAVE + "save({'twice': 2 * x})"]))
    (folder / "double.config.json").write_text(json.dumps(_CONTRACT))
    (folder / "failing.ipynb").write_bytes(notebook_file(["raise ValueError('no such customer')"]))
    (folder / "slow.ipynb").write_bytes(notebook_file(["seconds = 60", f"import time; time.sleep(seconds)\n{SAVE}save(seconds)"]))


def _submit(client: httpx.Client, notebook: str, *, key: str | None = None, wait: bool = True, **parameters: object) -> str:
    headers = ({"Prefer": "wait=60"} if wait else {}) | ({"Idempotency-Key": key} if key else {})
    body = {"parameters": parameters, "outputs": _PLAIN}
    answer = client.post(f"/v1/notebooks/{notebook}/executions", json=body, headers=headers).raise_for_status()
    identifier: str = answer.json()["id"]
    return identifier


def _fill(client: httpx.Client, root: Path) -> dict[str, str]:
    files = {
        "notebook": ("extra.ipynb", notebook_file(["import helper", SAVE + "save(helper.VALUE)"])),
        "contract": ("extra.config.json", json.dumps({"title": "Extra", "assets": ["helper.py"]}).encode()),
        "assets": ("helper.py", b"VALUE = 7\n"),
    }
    client.put("/v1/notebooks/extra", files=files).raise_for_status()
    names = {
        "double": _submit(client, "double", key="order-1", x=21),
        "failing": _submit(client, "failing"),
        "running": _submit(client, "slow", wait=False, seconds=1),
        "waiting": _submit(client, "double", wait=False, x=4),
    }
    while not list((root / "data/work").glob("*/*/task.json")):
        time.sleep(0.01)
    return names


def main() -> None:
    """Make the files."""
    root = Path(tempfile.mkdtemp(prefix="podbook-0.1.0-"))
    code = unpack(root / "code")
    _notebooks(root / "notebooks")
    command = [sys.executable, "-m", "podbook", "serve", "--port", "0", "--max-concurrent", "1"]
    command += ["--data-dir", str(root / "data"), "--notebooks-dir", str(root / "notebooks")]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, env=environment(code), text=True, start_new_session=True, cwd=root
    ) as server:
        assert server.stdout is not None
        url = next(found[1] for line in server.stdout if (found := re.search(r"serves notebooks at (\S+)", line)))
        with httpx.Client(base_url=url, timeout=60) as client:
            names = _fill(client, root)
        server.send_signal(signal.SIGKILL)
    shutil.rmtree(FIXTURES, ignore_errors=True)
    FIXTURES.mkdir()
    for part in ("store", "live"):
        shutil.copytree(root / "data" / part, FIXTURES / part)
    for file in ("version", "folder.json"):
        shutil.copy(root / "data" / file, FIXTURES / file)
    task = next((root / "data/work").glob("*/*/task.json")).read_text()
    (FIXTURES / "task.json").write_text(task.replace(str(root), "/podbook"))
    (FIXTURES / "names.json").write_text(json.dumps(names, indent=1) + "\n")
    time.sleep(8)  # the run that was under way ends by itself
    shutil.rmtree(root)


if __name__ == "__main__":
    main()
