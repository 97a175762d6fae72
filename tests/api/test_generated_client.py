"""A client generated from the served document calls a notebook with types and gets typed output."""

import importlib
import subprocess
import sys
from pathlib import Path

import httpx
import pytest
from tests.support.server import Server


def test_a_generated_client_is_typed_and_works(server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    document = tmp_path / "openapi.json"
    document.write_bytes(httpx.get(f"{server.url}/openapi.json").content)
    target = tmp_path / "generated" / "notebooks_client"
    command = ["-m", "openapi_python_client", "generate", "--path", str(document), "--output-path", str(target), "--meta", "none"]
    made = subprocess.run([sys.executable, *command], capture_output=True, text=True, check=True, timeout=100)
    # Anything the generator could not turn into code would be named by a warning about an endpoint or a schema.
    assert "/v1/" not in made.stdout + made.stderr
    assert "schemas" not in made.stdout + made.stderr
    monkeypatch.syspath_prepend(str(target.parent))
    client = importlib.import_module("notebooks_client").Client(base_url=server.url, timeout=httpx.Timeout(60))
    models = importlib.import_module("notebooks_client.models")
    double = importlib.import_module("notebooks_client.api.run.run_double")
    with client:
        output = double.sync(client=client, body=models.DoubleInput(x=21))
        assert isinstance(output, models.DoubleOutput)
        assert output.twice == 42
        problem = double.sync(client=client, body=models.DoubleInput(x=5000))
        assert isinstance(problem, models.Problem)
        assert (problem.code, problem.errors[0].path) == ("InvalidParameters", "/x")
        table = importlib.import_module("notebooks_client.api.run.run_table")
        rows = [models.TableInputRow(name="first"), models.TableInputRow(name="second")]
        assert table.sync(client=client, body=models.TableInput(rows=rows)).count == 2
        listing = importlib.import_module("notebooks_client.api.executions.list_executions").sync(client=client, limit=1)
        assert isinstance(listing.items[0], models.ExecutionResource)
        assert listing.items[0].spec.notebook.name == "table"
        execution = importlib.import_module("notebooks_client.api.executions.get_execution")
        assert execution.sync(listing.items[0].id, client=client).status.reason == "Succeeded"
