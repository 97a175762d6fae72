"""In a pod the API server is found by the pod's service account, whose token does not stay the same forever."""

from datetime import datetime, timedelta
from pathlib import Path
from types import SimpleNamespace

import pytest
from kubernetes.aio.config import incluster_config
from tests.backends.cluster.conftest import EXECUTIONS, TOKEN, ControlPlane

from podbook_cluster import configuration
from podbook_cluster.api_server import ApiServer
from podbook_cluster.errors import ClusterUnavailableError

pytestmark = pytest.mark.controlplane


@pytest.fixture
def token(control_plane: ControlPlane, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """The file with the token; everything else is as in a pod."""
    path = tmp_path / "token"
    path.write_text(TOKEN)
    monkeypatch.delenv("KUBECONFIG", raising=False)
    monkeypatch.setenv("KUBERNETES_SERVICE_HOST", "127.0.0.1")
    monkeypatch.setenv("KUBERNETES_SERVICE_PORT", str(control_plane.port))
    monkeypatch.setattr(configuration, "_TOKEN", path)
    monkeypatch.setattr(incluster_config, "SERVICE_TOKEN_FILENAME", str(path))
    monkeypatch.setattr(incluster_config, "SERVICE_CERT_FILENAME", str(control_plane.authority))
    return path


@pytest.mark.usefixtures("token")
async def test_a_pod_finds_its_cluster() -> None:
    server = await ApiServer.connect("podbook-tests")
    try:
        assert (await server.request("GET", EXECUTIONS, query={"limit": "1"}))["kind"] == "NotebookExecutionList"
    finally:
        await server.aclose()


async def test_a_new_token_is_taken_when_the_old_one_has_had_its_minute(token: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    server = await ApiServer.connect("podbook-tests")
    try:
        token.write_text("another")  # noqa: ASYNC240 - a few bytes
        await server.request("GET", EXECUTIONS, query={"limit": "1"})
        late = SimpleNamespace(now=lambda: datetime(9999, 1, 1))  # noqa: DTZ001 - as the library has it
        monkeypatch.setattr(incluster_config, "datetime", SimpleNamespace(datetime=late, timedelta=timedelta))
        with pytest.raises(ClusterUnavailableError, match="answers 401"):
            await server.request("GET", EXECUTIONS, query={"limit": "1"})
    finally:
        await server.aclose()
