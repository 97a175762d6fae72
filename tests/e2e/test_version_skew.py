"""Parts of 0.1.0 and of this version together: a runner image that users built before an upgrade, an operator that is replaced late.

The images of 0.1.0 are today's with the code of its wheel instead: what differs is what was released, not what it was built on.
"""

import subprocess
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import pytest
from tests.support.old_version import unpack

from .installation import ROOT, Installation

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(600)]

OLD = "skew-0.1.0"
"""Tag of the images with the code of 0.1.0."""
RUNS: tuple[tuple[str, Mapping[str, int], str], ...] = (("quick", {"number": 21}, "Succeeded"), ("raising", {}, "CellFailed"))
_DOCKERFILE = """
FROM localhost/podbook-{component}:dev
USER 0
COPY code /tmp/code
RUN site=$(python -c 'import sysconfig; print(sysconfig.get_path("purelib"))') \\
    && rm -rf "$site"/podbook* \\
    && cp -r /tmp/code/. "$site"/ \\
    && python -m compileall -q "$site"/podbook* \\
    && rm -rf /tmp/code
USER 10001:10001
"""


def old_image(component: str, folder: Path) -> str:
    """Build and load the image of a component with the code of 0.1.0; returns its name."""
    name = f"localhost/podbook-{component}:{OLD}"
    unpack(folder / "code")
    (folder / "Dockerfile").write_text(_DOCKERFILE.format(component=component))
    for command in (
        [str(ROOT / "tests/cluster/build-image"), name, str(folder)],
        [str(ROOT / "tests/cluster/load-image"), name],
    ):
        done = subprocess.run(command, capture_output=True, text=True, timeout=240, check=False)
        assert done.returncode == 0, done.stderr
    return name


@pytest.fixture
def native(podbook: Installation) -> Installation:
    """A cluster whose images are this machine's."""
    if not podbook.environment.native:
        pytest.skip("this machine's images are not the cluster's; CLUSTER=native proves it")
    return podbook


@contextmanager
def operator_image(podbook: Installation, image: str) -> Iterator[None]:
    """With another operator for a while; the chart's own comes back afterwards."""
    name = f"deployment/{podbook.fullname('operator')}"
    before = podbook.kubectl.get("deployment", podbook.fullname("operator"))["spec"]["template"]["spec"]["containers"][0]["image"]

    def use(chosen: str) -> None:
        podbook.kubectl("set", "image", name, f"operator={chosen}")
        podbook.kubectl("rollout", "status", name, "--timeout=180s", timeout=200)

    try:
        use(image)
        yield
    finally:
        use(before)


def test_the_operator_runs_notebooks_in_an_image_of_0_1_0(native: Installation, tmp_path: Path) -> None:
    image = old_image("runner", tmp_path)
    lean = native.values["profiles"]["lean"]
    with native.changed({"profiles": {"old-runner": {**lean, "image": image}}}):
        for notebook, parameters, reason in RUNS:
            name = native.submit(notebook, parameters, profile="old-runner")["id"]
            status = native.ended(name)["status"]
            assert (status["reason"], status["resolved"]["image"]) == (reason, image), status
            assert native.http.get(f"/v1/executions/{name}/notebook").status_code == 200


def test_an_operator_of_0_1_0_runs_notebooks_in_the_image_of_this_version(native: Installation, tmp_path: Path) -> None:
    image = old_image("operator", tmp_path)
    begun = native.submit("sleeping", {"seconds": 30}, profile="lean")["id"]
    native.until_reason(begun, "Running")
    with operator_image(native, image):
        # What the API of this version creates, it accepts; what the runner of this version stores, it reads.
        for notebook, parameters, reason in RUNS:
            name = native.submit(notebook, parameters, profile="lean")["id"]
            assert native.ended(name)["status"]["reason"] == reason
        waiting = native.submit("sleeping", {"seconds": 30}, profile="lean")["id"]
        native.until_reason(waiting, "Running")
    # Both were begun by one version and are ended by the other.
    for name in (begun, waiting):
        assert native.ended(name)["status"]["reason"] == "Succeeded"
