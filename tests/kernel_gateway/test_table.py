"""The gateway's table of requests and exact answers, against ``podbook kernelgateway``."""

from collections.abc import Iterator

import pytest
from tests.kernel_gateway.gateway_cases import CASES, CELLS, TOKEN, Case
from tests.support.gateway import Gateway, write_notebook


@pytest.fixture(scope="module")
def gateway(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    notebook = write_notebook(tmp_path_factory.mktemp("gateway") / "table.ipynb", CELLS)
    with Gateway(notebook, environment={"KG_AUTH_TOKEN": TOKEN}) as made:
        yield made


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.what)
def test_requests_are_answered_exactly_so(gateway: Gateway, case: Case) -> None:
    headers = {**({"Authorization": f"token {TOKEN}"} if case.token else {}), **case.sent}
    answer = gateway.send(case.target, case.method, headers=headers, content=case.content)
    assert (answer.status, answer.text, answer.headers.get("content-type")) == (case.status, case.body, case.media_type)
    assert {name: answer.headers.get(name.lower()) for name in case.headers} == case.headers
