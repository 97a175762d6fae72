"""The custom resource definition, generated from the model, so that kubectl and REST can never disagree about a document.

``python -m podbook_operator.crd`` prints the YAML that the chart holds; a test proves that the two are the same.
"""

import sys
from collections.abc import Mapping
from typing import Any

import yaml

from podbook_core import API_GROUP, API_VERSION, KIND, PLURAL
from podbook_core.execution.model import Document, Spec, Status
from podbook_core.text.names import EXECUTION_NAME

__all__ = ["build_crd", "main", "structural_schema"]

_KEPT = (
    "type",
    "description",
    "pattern",
    "format",
    "enum",
    "minLength",
    "maxLength",
    "minimum",
    "maximum",
    "minItems",
    "maxItems",
    "default",
)
"""Keywords that mean the same in JSON Schema and in a structural schema."""
_MUTABLE = ("cancel", "ttlSecondsAfterFinished")
"""The parts of a spec that may change."""
_HEADER = (
    "# Generated from the model by `python -m podbook_operator.crd`. Change core/podbook_core/execution/model.py, not this file.\n"
)


def structural_schema(model: type[Document]) -> dict[str, Any]:
    """A model as a structural OpenAPI v3 schema (Kubernetes, "Extend the Kubernetes API with CustomResourceDefinitions").

    References are inlined, ``X | None`` becomes an optional X, and a free-form object keeps its unknown fields.
    """
    schema = model.model_json_schema(by_alias=True)
    return _structural(schema, schema.get("$defs", {}))


def _structural(schema: Mapping[str, Any], definitions: Mapping[str, Any]) -> dict[str, Any]:
    if "$ref" in schema:
        target = definitions[schema["$ref"].rpartition("/")[2]]
        return _structural({**target, **{key: value for key, value in schema.items() if key != "$ref"}}, definitions)
    if "anyOf" in schema:
        # None is expressed by omitting the field: Kubernetes drops nulls.
        (chosen,) = [option for option in schema["anyOf"] if option.get("type") != "null"]
        rest = {key: value for key, value in schema.items() if key != "anyOf" and not (key == "default" and value is None)}
        return _structural({**chosen, **rest}, definitions)
    result = {key: schema[key] for key in _KEPT if key in schema}
    if isinstance(result.get("default"), dict):
        result["default"] = {name: value for name, value in result["default"].items() if value is not None}
    if "description" in result:
        # kubectl explain shows it as it is, so code is not marked as such.
        result["description"] = " ".join(result["description"].replace("`", "").split())
    if "const" in schema:
        result["enum"] = [schema["const"]]
    if "properties" in schema:
        result["properties"] = {name: _structural(value, definitions) for name, value in schema["properties"].items()}
        if schema.get("required"):
            result["required"] = list(schema["required"])
    elif schema.get("type") == "object":
        result["x-kubernetes-preserve-unknown-fields"] = True
    if "items" in schema:
        result["items"] = _structural(schema["items"], definitions)
    return result


def _spec_schema() -> dict[str, Any]:
    schema = structural_schema(Spec)
    fixed = [name for name in schema["properties"] if name not in _MUTABLE]
    # A defaulted field is always there; has() on both sides covers those that can be omitted.
    same = " && ".join(
        f"has(self.{name}) == has(oldSelf.{name}) && (!has(self.{name}) || self.{name} == oldSelf.{name})" for name in fixed
    )
    schema["x-kubernetes-validations"] = [
        {"rule": same, "message": f"a spec is immutable, except {' and '.join(_MUTABLE)}; create another execution instead"},
        {
            "rule": "!(has(oldSelf.cancel) && oldSelf.cancel) || (has(self.cancel) && self.cancel)",
            "message": "a cancellation cannot be undone; create another execution instead",
        },
    ]
    return schema


def _status_schema() -> dict[str, Any]:
    schema = structural_schema(Status)
    conditions = schema["properties"]["conditions"]
    conditions["description"] = "Accepted, Started, ResultsStored, Finished and Succeeded."
    conditions["x-kubernetes-list-type"] = "map"
    conditions["x-kubernetes-list-map-keys"] = ["type"]
    # Absent until the operator has looked: a default would make an untouched object look as if it had.
    _drop_defaults(schema)
    return schema


def _drop_defaults(schema: dict[str, Any]) -> None:
    schema.pop("default", None)
    for inner in [*schema.get("properties", {}).values(), *([schema["items"]] if "items" in schema else [])]:
        _drop_defaults(inner)


def _column(name: str, path: str, kind: str = "string", *, wide: bool = False, description: str) -> dict[str, Any]:
    return {"name": name, "type": kind, "jsonPath": path, "priority": 1 if wide else 0, "description": description}


def build_crd() -> dict[str, Any]:
    """The whole definition, as plain data."""
    columns = [
        _column("Notebook", ".spec.notebook.name", description="Name of the notebook."),
        _column("Phase", ".status.phase", description="Phase, derived from the reason."),
        _column("Reason", ".status.reason", description="Current step, or why it ended."),
        _column("Progress", ".status.progress.completed", "integer", description="Code cells that have ended."),
        _column("Duration", ".status.durationSeconds", "number", description="From start to end, in seconds."),
        _column("Age", ".metadata.creationTimestamp", "date", description="Time since its creation."),
        _column("Job", ".status.jobName", wide=True, description="Its Job."),
        _column("Pod", ".status.podName", wide=True, description="The newest attempt's pod."),
        _column("Message", ".status.message", wide=True, description="The reason in a sentence."),
    ]
    schema = {
        "type": "object",
        "description": "One run of a published notebook, in a pod of its own.",
        "required": ["spec"],
        "properties": {
            "apiVersion": {"type": "string", "description": "podbook.dev/v1alpha1."},
            "kind": {"type": "string", "description": "NotebookExecution."},
            "metadata": {"type": "object"},
            "spec": _spec_schema(),
            "status": _status_schema(),
        },
        "x-kubernetes-validations": [
            {
                "rule": f"self.metadata.name.matches('^{EXECUTION_NAME}$')",
                "message": "metadata.name must be at most 63 characters of a-z, 0-9 and '-', and begin and end with a letter or digit",
            }
        ],
    }
    version = {
        "name": API_VERSION,
        "served": True,
        "storage": True,
        "subresources": {"status": {}},
        "additionalPrinterColumns": columns,
        "selectableFields": [{"jsonPath": ".spec.notebook.name"}, {"jsonPath": ".status.phase"}],
        "schema": {"openAPIV3Schema": schema},
    }
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": f"{PLURAL}.{API_GROUP}"},
        "spec": {
            "group": API_GROUP,
            "scope": "Namespaced",
            "names": {
                "kind": KIND,
                "listKind": f"{KIND}List",
                "plural": PLURAL,
                "singular": KIND.lower(),
                "shortNames": ["nbx"],
                "categories": ["notebooks"],
            },
            "versions": [version],
        },
    }


def render_crd() -> str:
    """The definition as YAML, with a header that says where it comes from."""
    return _HEADER + yaml.safe_dump(build_crd(), sort_keys=False, width=130, allow_unicode=True)


def main() -> None:
    """Print the definition as YAML."""
    sys.stdout.write(render_crd())


if __name__ == "__main__":
    main()
