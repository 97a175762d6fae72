"""The embedded backend keeps the contract of all backends."""

from typing import Any

import pytest_asyncio
from tests.backends.contract import BackendContract
from tests.backends.embedded.conftest import StartBackend
from tests.backends.embedded.samples import new_execution
from typing_extensions import override

from podbook_api.backends.embedded.backend import EmbeddedBackend
from podbook_core.execution.model import NotebookExecution


class TestEmbeddedBackend(BackendContract):
    @pytest_asyncio.fixture
    async def backend(self, start_backend: StartBackend) -> EmbeddedBackend:
        return await start_backend()

    @override
    def quick(self, **spec: Any) -> NotebookExecution:
        return new_execution("double", **spec)

    @override
    def long(self) -> NotebookExecution:
        return new_execution("sleeper")
