"""Servers for the API's tests: one without keys, shared by all, and one with keys."""

import json
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path

import httpx
import pytest
from tests.support.server import Server, running

from podbook_api.auth.keys import create_key
from podbook_api.settings import ApiSettings

from .samples import write_folder

SCOPES: Mapping[str, list[str]] = {
    "admin": ["*"],
    "runner": ["notebooks/double/run", "notebooks/sleeper/run"],
    "reader": ["notebooks/*/read"],
    "author": ["notebooks/draft-*/write"],
    "auditor": ["executions/*/read"],
    "expired": ["*"],
}


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server without keys, with the sample notebooks."""
    base = tmp_path_factory.mktemp("open")
    write_folder(base / "notebooks")
    settings = ApiSettings(
        data_dir=base / "data", notebooks_dir=base / "notebooks", max_concurrent=2, max_upload_bytes=4 * 1024 * 1024
    )
    with running(settings) as made:
        yield made


@pytest.fixture
def client(server: Server) -> Iterator[httpx.Client]:
    """A client of the server without keys."""
    with server.client() as made:
        yield made


@pytest.fixture(scope="session")
def keys(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, str]]:
    """A keys file, and the plain keys by their ids."""
    now = datetime.now(UTC)
    plain, entries = {}, []
    for name, scopes in SCOPES.items():
        plain[name], entry = create_key(name, scopes, expires=now - timedelta(days=1) if name == "expired" else None, now=now)
        entries.append(entry.model_dump(mode="json", exclude_none=True))
    path = tmp_path_factory.mktemp("keys") / "keys.json"
    path.write_text(json.dumps({"keys": entries}))
    return path, plain


@pytest.fixture(scope="session")
def guarded(tmp_path_factory: pytest.TempPathFactory, keys: tuple[Path, dict[str, str]]) -> Iterator[Server]:
    """A server that asks for keys."""
    base = tmp_path_factory.mktemp("guarded")
    write_folder(base / "notebooks")
    settings = ApiSettings(data_dir=base / "data", notebooks_dir=base / "notebooks", keys_file=keys[0], max_concurrent=2)
    with running(settings) as made:
        yield made


@pytest.fixture(scope="session")
def plain_keys(keys: tuple[Path, dict[str, str]]) -> dict[str, str]:
    """The keys of the guarded server by their ids."""
    return keys[1]
