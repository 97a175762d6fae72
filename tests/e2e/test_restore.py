"""The cluster and the bucket are gone: what the page on operating says about backup and restore is typed, and brings everything back."""

import dataclasses
import os
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.support.transcripts import Step, pattern, steps

from podbook_core.store.base import ObjectStore
from podbook_core.store.directory import DirectoryStore
from podbook_core.store.s3 import S3Store

from .environment import Environment
from .installation import ROOT, Installation
from .kubectl import Kubectl
from .samples import SAMPLES

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(900)]

PART = 5 * 1024**2


@pytest.fixture
def doomed(environment: Environment, podbook: Installation) -> Iterator[Installation]:
    """A release of the name that the page uses, beside the one of the other tests, which keeps the definition."""
    assert podbook.release != "podbook"
    installation = Installation(environment, "podbook", {"api": {"replicas": 1}})
    installation.install()
    try:
        yield installation
    finally:
        installation.close()
        subprocess.run(["helm", "--namespace", "podbook", "uninstall", "podbook", "--wait"], timeout=200, check=False)
        Kubectl("podbook")("delete", "namespace", "podbook", "podbook-runs", "--ignore-not-found", timeout=180)


def section(name: str, kind: str) -> list[Step]:
    """The steps of one section of the page."""
    parts = re.split(r"^## ", (ROOT / "docs/how-to/operate.md").read_text(), flags=re.MULTILINE)
    (text,) = [part for part in parts if part.startswith(f"{name}\n")]
    return list(steps(text, kind))


def type_into(folder: Path, shown: list[Step]) -> None:
    """Type commands as they are shown, and compare their answers."""
    assert shown
    for step in shown:
        done = subprocess.run(
            ["bash", "-c", step.command],
            cwd=folder,
            env=dict(os.environ),
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=400,
            check=False,
        )
        answer = done.stdout.strip()
        assert pattern(step.shown).fullmatch(answer), f"$ {step.command}\nshown:\n{step.shown}\nanswered:\n{answer}"


def copy(source: ObjectStore, target: ObjectStore, folder: Path) -> None:
    """Every object but the lists; what is larger than a part goes in parts, which gives it another ETag."""
    for key in source.list("", limit=100_000):
        if not key.startswith("index/"):
            (folder / "object").write_bytes(source.get(key, limit=2**30).data)
            target.put(key, folder / "object")


def in_parts(store: S3Store) -> S3Store:
    """The same bucket, written in the smallest parts there are."""
    return S3Store(dataclasses.replace(store._settings, part_size=PART))


def test_a_backup_is_restored_as_the_page_says(doomed: Installation, tmp_path: Path) -> None:
    (tmp_path / "helm").symlink_to(ROOT / "helm")
    backup, restore = section("Back up and restore", "console cluster"), section("Back up and restore", "console restore")
    for name in ("writing", "sleeping"):
        doomed.publish(name, SAMPLES[name])
    done = doomed.submit("writing", {"files": 1, "mebibytes": 6}, profile="lean")["id"]
    before = doomed.ended(done)
    file = f"/v1/executions/{done}/files/000.bin"
    content = doomed.http.get(file).content
    assert len(content) > PART
    on = doomed.submit("sleeping", {"seconds": 60}, profile="lean")["id"]
    doomed.until_reason(on, "Running")
    key = doomed.key

    type_into(tmp_path, backup)
    bucket = DirectoryStore(tmp_path / "bucket")
    copy(doomed.store, bucket, tmp_path)
    doomed.remove()
    if doomed.environment.s3_endpoint is not None:  # elsewhere the store was in the cluster
        doomed.store.delete_prefix("")

    back = Installation(doomed.environment, doomed.release)
    installed = next(number for number, step in enumerate(restore, 1) if step.command.startswith("helm install"))
    try:
        type_into(tmp_path, restore[:installed])
        copy(bucket, in_parts(back.store), tmp_path)
        assert back.key == key
        assert back.http.get(file).json()["code"] == "ResultChanged", "a copy in parts has another ETag"

        type_into(tmp_path, restore[installed:])
        assert back.http.get(file).content == content
        after = back.execution(done)["status"]
        assert all(after[field] == before["status"][field] for field in ("reason", "resolved", "results", "completionTime"))
        assert {item["id"] for item in back.http.get("/v1/executions").json()["items"]} == {done, on}
        assert [item["metadata"]["name"] for item in back.runs.list("notebookexecutions")] == [on], (
            "what had ended did not run again"
        )
        assert back.ended(on, seconds=180)["status"]["reason"] == "Succeeded"
    finally:
        back.close()
