"""The Dockerfile that the documentation shows makes an image that runs notebooks."""

import re
import subprocess
from pathlib import Path

import pytest

from .installation import OWN_IMAGE, ROOT, Installation
from .samples import Sample

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(300)]

PAGE = ROOT / "docs/how-to/build-a-profile-image.md"
PACKAGE = "threadpoolctl"
"""What the image adds: pure Python, small, and among the requirements of the project's larger image, from where its hashes are."""


def _pinned(package: str) -> str:
    """A requirement with its hashes, as a file of the project has it."""
    found = re.search(rf"^{package}==(?:.*\\\n)+.*\n", (ROOT / "requirements/notebooks.txt").read_text(), re.MULTILINE)
    assert found, f"{package} is not among the requirements any more"
    return found[0]


def _shown() -> str:
    found = re.search(r"^```Dockerfile\n(.*?)^```$", PAGE.read_text(), re.DOTALL | re.MULTILINE)
    assert found
    return found[1]


def test_the_image_of_the_how_to_runs_a_notebook(podbook: Installation, tmp_path: Path) -> None:
    if not podbook.environment.native:
        pytest.skip("this machine's images are not the cluster's; CLUSTER=native proves it")
    (tmp_path / "Dockerfile").write_text(_shown())
    (tmp_path / "requirements.txt").write_text(_pinned(PACKAGE))
    (tmp_path / "runner.txt").write_text((ROOT / "requirements/runner.txt").read_text())
    (runner,) = re.findall(r"^FROM (\S+)$", _shown(), re.MULTILINE)
    for command in (
        ["buildah", "tag", "localhost/podbook-runner:dev", runner],
        [str(ROOT / "tests/cluster/build-image"), OWN_IMAGE, str(tmp_path)],
        [str(ROOT / "tests/cluster/load-image"), OWN_IMAGE],
    ):
        done = subprocess.run(command, capture_output=True, text=True, timeout=240, check=False)
        assert done.returncode == 0, done.stderr

    podbook.publish(
        "own",
        Sample(f"""
# %%
import {PACKAGE}
from podbook import save_output
save_output({{"version": {PACKAGE}.__version__}})
"""),
    )
    name = podbook.submit("own", profile="own")["id"]
    status = podbook.ended(name)["status"]
    assert (status["reason"], status["resolved"]["image"]) == ("Succeeded", OWN_IMAGE)
    assert podbook.http.get(f"/v1/executions/{name}/output").json() == {"version": re.findall(r"==(\S+)", _pinned(PACKAGE))[0]}
