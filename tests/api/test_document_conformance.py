"""schemathesis reads the served document and tries it out: no undocumented status, and every response as documented."""

import contextlib
import json
from collections.abc import Iterator
from typing import Any

import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis.errors import Unsatisfiable
from schemathesis.checks import not_a_server_error
from schemathesis.generation import GenerationMode
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
    status_code_conformance,
    unsupported_method,
)
from tests.support.notebook_file import notebook_file
from tests.support.server import running

from podbook_api.settings import ApiSettings

from .samples import CONTRACTS, NOTEBOOKS

CHECKS = [
    status_code_conformance,
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
    unsupported_method,
]
STARTS_KERNELS = "^(run_.*|create_execution|rerun_execution|jupyrest._execute.*)$"


@pytest.fixture(scope="module")
def api_schema(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """The document of a server with a few fast notebooks."""
    base = tmp_path_factory.mktemp("fuzzed")
    folder = base / "notebooks"
    folder.mkdir()
    for name in ("double", "raising", "table"):
        (folder / f"{name}.ipynb").write_bytes(notebook_file(NOTEBOOKS[name]))
        (folder / f"{name}.config.json").write_text(json.dumps(CONTRACTS[name]))
    with running(ApiSettings(data_dir=base / "data", notebooks_dir=folder, max_concurrent=2)) as server:
        yield schemathesis.openapi.from_url(f"{server.url}/openapi.json")


def conforms(case: Any) -> None:
    """Send the case; 503 and 504 are documented ends, any other 5xx is ours."""
    response = case.call(timeout=60)
    if response.status_code == 421:
        # Headers are made up as well: whoever names another host has not called this server (RFC 9110, section 15.5.20).
        assert "host" in {name.lower() for name in case.headers}
        return
    case.validate_response(response, checks=CHECKS)
    if response.status_code not in (503, 504):
        case.validate_response(response, checks=[not_a_server_error])


def examine(operations: Any, mode: GenerationMode, examples: int) -> set[str]:
    """Try out operations. Returns those that had cases; what takes nothing cannot be called wrongly."""
    tried = set()
    for result in operations.get_all_operations():
        operation = result.ok()

        @settings(
            max_examples=examples, deadline=None, database=None, suppress_health_check=list(HealthCheck), phases=[Phase.generate]
        )
        @given(case=operation.as_strategy(generation_mode=mode))
        def check(case: Any) -> None:
            tried.add(case.operation.label)
            conforms(case)

        with contextlib.suppress(Unsatisfiable):
            check()
    return tried


@pytest.mark.timeout(600)
@pytest.mark.parametrize("mode", [GenerationMode.POSITIVE, GenerationMode.NEGATIVE])
def test_operations_that_start_kernels_conform(api_schema: Any, mode: GenerationMode) -> None:
    assert len(examine(api_schema.include(operation_id_regex=STARTS_KERNELS), mode, 5)) == 9


@pytest.mark.timeout(600)
@pytest.mark.parametrize("mode", [GenerationMode.POSITIVE, GenerationMode.NEGATIVE])
def test_the_other_operations_conform(api_schema: Any, mode: GenerationMode) -> None:
    assert len(examine(api_schema.exclude(operation_id_regex=STARTS_KERNELS), mode, 40)) >= 18
