"""This door's part of the OpenAPI document: one typed operation for every notebook, from its contract. Pure."""

import copy
from collections.abc import Mapping, Sequence
from typing import Any

from pydantic.json_schema import models_json_schema

from podbook_api.doors.native.documents import CreateExecution, LinkRequest
from podbook_api.doors.openapi import SCHEMA_PREFIX, NotebookSchema, referenced
from podbook_api.doors.problems import Problem
from podbook_api.doors.requests.options import ExecutionOptions

__all__ = ["complete", "form_content", "one_notebook"]

GENERIC_RUN = "/v1/run/{notebook}"


def complete(document: dict[str, Any], notebooks: Sequence[NotebookSchema]) -> None:
    """Give each notebook an operation of its own in place of the generic one, and add the schemas that routes name by hand."""
    schemas = document["components"]["schemas"]
    schemas.update(_own_schemas())
    generic = document["paths"].pop(GENERIC_RUN)["post"]
    for item in notebooks:
        document["paths"][f"/v1/run/{item.name}"] = {"post": _operation(generic, item)}


def one_notebook(notebook: NotebookSchema, document: Mapping[str, Any]) -> dict[str, Any]:
    """The part of a document that is about calling one notebook and reading its executions."""
    paths = {
        path: item
        for path, item in document["paths"].items()
        if path == f"/v1/run/{notebook.name}" or path.startswith("/v1/executions/{execution_id}")
    }
    used = referenced(paths, document["components"]["schemas"])
    schemas = {key: value for key, value in document["components"]["schemas"].items() if key in used}
    return {
        **document,
        "info": {**document["info"], "title": notebook.title or notebook.name},
        "paths": paths,
        "components": {**document["components"], "schemas": schemas},
    }


def _own_schemas() -> dict[str, Any]:
    """Schemas that routes name by hand, since they read their bodies themselves."""
    _, definitions = models_json_schema(
        [(Problem, "validation"), (CreateExecution, "validation"), (ExecutionOptions, "validation"), (LinkRequest, "validation")],
        ref_template=SCHEMA_PREFIX + "{model}",
    )
    found: dict[str, Any] = definitions["$defs"]
    return found


def _operation(generic: Mapping[str, Any], item: NotebookSchema) -> dict[str, Any]:
    operation = copy.deepcopy(dict(generic))
    operation["operationId"] = f"run_{item.slug}"
    operation["summary"] = item.title or item.name
    operation["description"] = item.description or f"Run the notebook {item.name} and return its output."
    operation["parameters"] = [parameter for parameter in operation.get("parameters", ()) if parameter["in"] == "header"]
    operation["requestBody"] = {
        "required": True,
        "content": {
            "application/json": {"schema": {"$ref": f"{SCHEMA_PREFIX}{item.component}Input"}},
            "multipart/form-data": form_content({"$ref": f"{SCHEMA_PREFIX}{item.component}Input"}),
        },
    }
    operation["responses"]["200"] = {
        "description": "The notebook's output",
        "content": {"application/json": {"schema": {"$ref": f"{SCHEMA_PREFIX}{item.component}Output"}}},
    }
    return operation


def form_content(parameters: Mapping[str, Any]) -> dict[str, Any]:
    """The media type object of a form with files; ``parameters`` is the schema of the part of that name."""
    return {
        "schema": {
            "type": "object",
            "properties": {"parameters": dict(parameters), "options": {"$ref": f"{SCHEMA_PREFIX}ExecutionOptions"}},
            "additionalProperties": {
                "type": "string",
                "format": "binary",
                "description": "An input file, called like its part; or, without a file name, one parameter as text.",
            },
        },
        "encoding": {name: {"contentType": "application/json"} for name in ("parameters", "options")},
    }
