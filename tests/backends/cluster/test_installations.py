"""Several installations on one API server, with Helm's own library: what one of them finds there of another."""

import re
import shlex
import subprocess
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
from helm_python.config import Config
from helm_python.errors import HelmError
from tests.backends.cluster.conftest import ROOT, ControlPlane, program

pytestmark = [pytest.mark.controlplane, pytest.mark.timeout(300)]

CHART = ROOT / "helm/podbook"
DEFINITION = "customresourcedefinition/notebookexecutions.podbook.dev"


class Cluster:
    """An API server without controllers: what is installed is there, though nothing of it runs."""

    def __init__(self, control_plane: ControlPlane) -> None:
        self._kubeconfig = control_plane.kubeconfig

    def install(self, release: str, namespace: str, values: Mapping[str, Any] | None = None) -> dict[str, Any]:
        """Install a release; returns what Helm knows of it."""
        with Config(kubeconfig_path=self._kubeconfig, namespace=namespace) as config:
            return config.install(CHART, release, dict(values or {}), create_namespace=True)

    def upgrade(self, release: str, namespace: str) -> dict[str, Any]:
        """Upgrade a release, with the values the chart has."""
        with Config(kubeconfig_path=self._kubeconfig, namespace=namespace) as config:
            return config.upgrade(CHART, release)

    def uninstall(self, release: str, namespace: str) -> None:
        """Remove a release; what the chart keeps is kept."""
        with Config(kubeconfig_path=self._kubeconfig, namespace=namespace) as config:
            config.uninstall(release)

    def type(self, command: str) -> str:
        """Run a kubectl command as it is shown."""
        words = shlex.split(command)
        assert words[0] == "kubectl"
        run = [program("kubectl"), f"--kubeconfig={self._kubeconfig}", *words[1:]]
        return subprocess.run(run, capture_output=True, text=True, timeout=60, check=True).stdout

    def follow(self, advice: str) -> None:
        """Type what a message says."""
        commands = re.findall(r"^ +(kubectl .*)$", advice, re.MULTILINE)
        assert commands
        for command in commands:
            self.type(command)

    def owner(self, name: str) -> str:
        """The release that owns an object, and its namespace."""
        path = (
            r"jsonpath={.metadata.annotations.meta\.helm\.sh/release-name}/{.metadata.annotations.meta\.helm\.sh/release-namespace}"
        )
        return self.type(f"kubectl get {name} -o '{path}'")


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[Cluster]:
    """A cluster of its own, where nothing is installed and no definition is."""
    control_plane = ControlPlane(tmp_path)
    try:
        control_plane.start()
        made = Cluster(control_plane)
        made.type(f"kubectl delete {DEFINITION}")
        yield made
    finally:
        control_plane.stop()


def installs_definition(release: Mapping[str, Any]) -> bool:
    return "kind: CustomResourceDefinition" in release["manifest"]


def test_a_second_release_uses_the_definition_of_the_first(cluster: Cluster) -> None:
    assert installs_definition(cluster.install("podbook", "podbook"))
    second = cluster.install("team-b", "team-b")
    assert not installs_definition(second)
    assert "belongs to release podbook in namespace podbook and is upgraded with it" in second["notes"]
    assert "which is older" not in second["notes"]
    assert installs_definition(cluster.upgrade("podbook", "podbook"))
    assert not installs_definition(cluster.upgrade("team-b", "team-b"))
    assert cluster.owner(DEFINITION) == "podbook/podbook"
    cluster.type(f"kubectl label --overwrite {DEFINITION} app.kubernetes.io/version=0.0.9")
    assert "WARNING: it is from Podbook 0.0.9, which is older" in cluster.upgrade("team-b", "team-b")["notes"]


def test_two_releases_never_share_a_namespace_of_runs(cluster: Cluster) -> None:
    cluster.install("podbook", "podbook")
    shared = "namespace podbook-runs holds the runs of release podbook in namespace podbook: set runs.namespace to another one"
    with pytest.raises(HelmError, match=shared):
        cluster.install("podbook", "elsewhere")
    with pytest.raises(HelmError, match=shared):
        cluster.install("other", "podbook", {"runs": {"namespace": "podbook-runs", "createNamespace": False}})
    cluster.install("podbook", "elsewhere", {"runs": {"namespace": "elsewhere-runs"}})


def test_what_a_release_left_is_handed_over_as_the_message_says(cluster: Cluster) -> None:
    cluster.install("podbook", "podbook")
    cluster.install("team-b", "team-b")
    cluster.uninstall("podbook", "podbook")

    # Nobody looks after the definition now: the next upgrade asks whose it shall be.
    with pytest.raises(HelmError, match="belongs to release podbook in namespace podbook, which is not or no longer") as caught:
        cluster.upgrade("team-b", "team-b")
    cluster.follow(str(caught.value))
    assert installs_definition(cluster.upgrade("team-b", "team-b"))

    # The same name in another namespace finds the kept namespace of the runs.
    with pytest.raises(HelmError, match=r"namespace podbook-runs is there already.*runs\.createNamespace=false") as caught:
        cluster.install("podbook", "elsewhere")
    cluster.follow(str(caught.value))
    assert not installs_definition(cluster.install("podbook", "elsewhere"))
    assert (cluster.owner(DEFINITION), cluster.owner("namespace/podbook-runs")) == ("team-b/team-b", "podbook/elsewhere")


def test_coming_back_under_the_same_name_asks_nothing(cluster: Cluster) -> None:
    cluster.install("podbook", "podbook")
    cluster.uninstall("podbook", "podbook")
    assert installs_definition(cluster.install("podbook", "podbook"))


def test_what_was_made_by_hand_can_be_used_as_it_is(cluster: Cluster) -> None:
    cluster.type(f"kubectl create -f {CHART}/files/crd.yaml")
    cluster.type("kubectl create namespace podbook-runs")
    with pytest.raises(HelmError, match=r"was not made by Helm: set crds\.enabled=false") as caught:
        cluster.install("podbook", "podbook")
    assert "namespace podbook-runs is there already and was not made by Helm" in str(caught.value)
    cluster.install("podbook", "podbook", {"crds": {"enabled": False}, "runs": {"createNamespace": False}})
