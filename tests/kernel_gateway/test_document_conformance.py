"""schemathesis reads the gateway's document and tries it out: whatever is sent, nothing fails and nothing hangs."""

from collections.abc import Iterator
from typing import Any

import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from schemathesis.checks import not_a_server_error
from schemathesis.generation import GenerationMode
from schemathesis.specs.openapi.checks import content_type_conformance, response_schema_conformance, status_code_conformance
from tests.support.gateway import Gateway, write_notebook

CELLS = [
    "import json",
    "# GET /echo/:name/v:version\nprint(json.dumps(json.loads(REQUEST)['path']))",
    "# POST /echo/:name/v:version\nprint(json.dumps(json.loads(REQUEST)['path']))",
    "# PUT /body\nprint(REQUEST)",
    "# DELETE /body\n1",
    "# ResponseInfo PUT /body\nprint(json.dumps({'status': 201}))",
]
CHECKS = [status_code_conformance, content_type_conformance, response_schema_conformance, not_a_server_error]


@pytest.fixture(scope="module")
def schema(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """The document of a gateway whose cells never fail."""
    notebook = write_notebook(tmp_path_factory.mktemp("fuzzed") / "work" / "n.ipynb", CELLS)
    with Gateway(notebook) as gateway:
        yield schemathesis.openapi.from_url(f"http://127.0.0.1:{gateway.port}/_api/spec/openapi.json")


@pytest.mark.timeout(300)
def test_requests_of_every_kind_are_answered_as_documented(schema: Any) -> None:
    tried = set()
    for result in schema.get_all_operations():
        operation = result.ok()

        @settings(max_examples=25, deadline=None, database=None, suppress_health_check=list(HealthCheck), phases=[Phase.generate])
        @given(case=operation.as_strategy(generation_mode=GenerationMode.POSITIVE))
        def check(case: Any) -> None:
            tried.add(case.operation.label)
            case.validate_response(case.call(timeout=60), checks=CHECKS)

        check()
    assert len(tried) == 4
