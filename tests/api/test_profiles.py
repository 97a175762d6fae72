"""Profiles: picked by name, and only where an administrator offers them."""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import pytest
import pytest_asyncio
from tests.support.notebook_file import notebook_file

from podbook_api.app import create_app
from podbook_api.auth.keys import Anonymous
from podbook_api.auth.links import LinkSigner
from podbook_api.services.context import Context, NoFolder
from podbook_api.settings import ApiSettings
from podbook_core.execution.profiles import parse_profiles
from podbook_core.notebook.contract import Contract
from podbook_core.notebook.versions import VersionStore, build_bundle
from podbook_core.schema.validation import ContractValidator
from podbook_core.store.directory import DirectoryStore

from .scripted_backend import ScriptedBackend

PROFILES = parse_profiles({"large": {"timeoutSeconds": 60, "maxTimeoutSeconds": 90}, "team": {"allowed": {"keys": ["ann"]}}})


@pytest_asyncio.fixture
async def offered(tmp_path: Path) -> AsyncIterator[httpx.AsyncClient]:
    """A client of an application with profiles, and notebooks that ask for some."""
    store = DirectoryStore(tmp_path)
    with ContractValidator(workers=1) as validator:
        context = Context(
            store,
            ScriptedBackend(),
            validator,
            PROFILES,
            Anonymous(),
            LinkSigner.random(),
            ApiSettings(data_dir=tmp_path),
            NoFolder(),
        )
        for name, profile in (("plain", None), ("teams", "team"), ("stale", "removed")):
            bundle = build_bundle(name, notebook_file(["x = 1"]), Contract(profile=profile), ())
            VersionStore(store).publish(bundle, now=context.clock())
        transport = httpx.ASGITransport(create_app(context))
        async with httpx.AsyncClient(transport=transport, base_url="http://test") as client:
            yield client


@pytest.mark.parametrize(
    ("name", "body", "status", "code"),
    [
        ("plain", {"profile": "none"}, 422, "UnknownProfile"),
        ("plain", {"profile": "team"}, 403, "ProfileNotPermitted"),
        ("teams", {}, 403, "ProfileNotPermitted"),
        ("stale", {}, 503, "ConfigurationError"),
    ],
)
async def test_what_is_not_offered_is_refused(offered: httpx.AsyncClient, name: str, body: Any, status: int, code: str) -> None:
    response = await offered.post(f"/v1/notebooks/{name}/executions", json=body)
    assert (response.status_code, response.json()["code"]) == (status, code)


async def test_a_profile_bounds_the_time(offered: httpx.AsyncClient) -> None:
    async def resolved(**body: object) -> Any:
        response = await offered.post("/v1/notebooks/plain/executions", params={"dryRun": True}, json=body)
        return response.json()["resolved"]

    assert (await resolved())["profile"] == "default"
    assert (await resolved(profile="large"))["timeoutSeconds"] == 60
    assert (await resolved(profile="large", timeoutSeconds=5000))["timeoutSeconds"] == 90
