"""What the documentation shows of a cluster is typed here, in one shell for each page, and answers as shown."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.support.transcripts import Step, pattern, steps

from .environment import Environment
from .installation import ROOT, Installation
from .kubectl import Kubectl

pytestmark = pytest.mark.cluster

CLUSTER = "console cluster"
README = ROOT / "README.md"
PAGES = [page for page in [README, *sorted((ROOT / "docs").rglob("*.md"))] if any(steps(page.read_text(), CLUSTER))]
_LINE = "---- next ----"


class Reader:
    """Somebody with a shell who types what a page says, and with the images of this machine instead of the page's."""

    def __init__(self, environment: Environment, folder: Path) -> None:
        self._environment, self._folder = environment, folder
        self._variables = {
            **{name: value for name, value in os.environ.items() if not name.startswith("PODBOOK_")},
            "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
        }
        for name in ("helm", "notebooks"):
            (folder / name).symlink_to(ROOT / name)
        values: dict[str, object] = {"image": {"tag": environment.image_tag}}
        if environment.native:  # it has no storage class, and pulls nothing
            values["minio"] = {"image": "localhost/minio:dev", "persistence": {"enabled": False}}
        (folder / "of-this-machine.json").write_text(json.dumps(values))

    def type(self, page: list[Step]) -> list[str]:
        """Type the commands into one shell. Returns what each answered."""
        script = "".join(f"{self._here(step.command)}\necho '{_LINE}'\n" for step in page) + "kill $(jobs -p) 2>/dev/null\n"
        done = subprocess.run(
            ["bash"],
            input=script,
            cwd=self._folder,
            env=self._variables,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=900,
            check=False,
        )
        return [part.strip() for part in done.stdout.split(_LINE)][: len(page)]

    def _here(self, command: str) -> str:
        command = command.replace("helm install podbook helm/podbook", "helm install podbook helm/podbook -f of-this-machine.json")
        command = command.replace("registry.example.org/podbook", self._environment.image_registry)
        if not command.endswith("&"):
            return command
        # A person takes a moment to type; a tunnel needs as long to be there. What it says later would be taken for another's answer.
        return f"{command.removesuffix('&')} 2>&1 &\nsleep 3"


@pytest.fixture(scope="module")
def reader(environment: Environment, podbook: Installation, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Reader]:
    """A reader; what they install stands beside the release of the other tests, and is gone afterwards."""
    assert podbook.release != "podbook"
    try:
        yield Reader(environment, tmp_path_factory.mktemp("reader"))
    finally:
        subprocess.run(["helm", "--namespace", "podbook", "uninstall", "podbook", "--wait"], timeout=200, check=False)
        Kubectl("podbook")("delete", "namespace", "podbook", "podbook-runs", "--ignore-not-found", timeout=180)


@pytest.fixture(scope="module")
def installing(reader: Reader) -> list[str]:
    """What the README's commands answered; they come first and install, and every other page works with what they left."""
    return reader.type(_shown(README))


@pytest.mark.timeout(1000)  # a kubelet takes a minute and more to bring a changed Secret to its pods
@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_what_a_page_shows_of_a_cluster_is_what_happens(page: Path, installing: list[str], reader: Reader) -> None:
    """Step by step, the answer is what the page shows."""
    shown, answers = _shown(README), installing
    if page != README:
        shown = [step for step in shown if "PODBOOK" in step.command.split("=")[0] or "port-forward" in step.command] + _shown(page)
        answers = reader.type(shown)
    for step, answer in zip(shown, answers, strict=True):
        assert pattern(step.shown).fullmatch(answer), f"$ {step.command}\nshown:\n{step.shown}\nanswered:\n{answer}"


def _shown(page: Path) -> list[Step]:
    return list(steps(page.read_text(), CLUSTER))
