"""An embedded server with the notebooks of the older systems' tables."""

from collections.abc import Iterator

import httpx
import pytest
from tests.support.server import Server, running

from podbook_api.settings import ApiSettings

from .jupyrest_cases import write_notebooks


@pytest.fixture(scope="package")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server without keys."""
    base = tmp_path_factory.mktemp("doors")
    folder = base / "notebooks"
    write_notebooks(folder)
    with running(ApiSettings(data_dir=base / "data", notebooks_dir=folder, max_concurrent=2)) as made:
        yield made


@pytest.fixture
def client(server: Server) -> Iterator[httpx.Client]:
    """A client of it."""
    with server.client() as made:
        yield made
