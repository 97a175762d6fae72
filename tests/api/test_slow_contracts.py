"""A contract that stalls costs its own callers, and nobody else."""

import json
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from tests.support.notebook_file import notebook_file
from tests.support.server import running

from podbook_api.settings import ApiSettings

SLOW = {"properties": {"x": {"type": "string", "pattern": "^PREFIX:(a+)+$"}}}
BODY = {"parameters": {"x": "PREFIX:" + "a" * 40 + "!"}}
CALLS = 40


def test_another_notebook_is_answered_while_one_stalls(tmp_path: Path) -> None:
    folder = tmp_path / "notebooks"
    folder.mkdir()
    for name in ("slow", "quick"):
        (folder / f"{name}.ipynb").write_bytes(notebook_file(["x = 1"]))
    (folder / "slow.config.json").write_text(json.dumps({"input": SLOW}))
    (folder / "quick.config.json").write_text(json.dumps({"input": {"properties": {"x": {"type": "integer"}}}}))
    answered: list[str] = []
    sent = threading.Semaphore(0)

    with running(ApiSettings(data_dir=tmp_path / "data", notebooks_dir=folder)) as server, ThreadPoolExecutor(CALLS) as pool:

        def bob(_: int) -> str:
            with server.client() as client:
                sent.release()
                response = client.post("/v1/notebooks/slow/executions?dryRun=true", json=BODY)
            answered.append("bob")
            assert (response.status_code, response.json()["code"]) == (422, "InvalidParameters")
            detail: str = response.json()["detail"]
            return detail

        bobs = [pool.submit(bob, number) for number in range(CALLS)]
        for _ in range(CALLS):
            sent.acquire()
        with server.client() as client:
            alice = client.post("/v1/notebooks/quick/executions?dryRun=true", json={"parameters": {"x": 1}})
            answered.append("alice")
        details = [call.result() for call in bobs]
    assert alice.status_code == 200
    # Two of bob's stall, one after the other, and only then are all of his answered.
    assert answered.index("alice") <= 1
    assert sum("not retried for" in detail for detail in details) == CALLS - 2
