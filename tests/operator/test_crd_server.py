"""The API server and the model accept and refuse the same documents."""

import subprocess
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from podbook_core.execution.model import NotebookExecution

from .control_plane import ApiServer

pytestmark = [pytest.mark.controlplane, pytest.mark.timeout(120)]

DIGEST = "a" * 64
INPUT = {"name": "a.csv", "sha256": DIGEST, "size": 1, "mediaType": "text/csv"}


def model_accepts(name: str, spec: dict[str, Any]) -> bool:
    try:
        NotebookExecution.model_validate({"metadata": {"name": name}, "spec": spec})
    except ValidationError:
        return False
    return True


def server_accepts(api: ApiServer, name: str, spec: dict[str, Any]) -> bool:
    answer = api.create(name, query="?dryRun=All&fieldValidation=Strict", **spec)
    assert answer.status_code in (201, 400, 422), answer.text
    return answer.status_code == 201


@pytest.mark.parametrize(
    ("spec", "right"),
    [
        ({}, True),
        ({"notebook": {"name": "a.b_c-D", "version": DIGEST}}, True),
        ({"notebook": {"name": "../secret"}}, False),
        ({"notebook": {"name": "a" * 64}}, False),
        ({"notebook": {"name": "ünicode"}}, False),
        ({"notebook": {}}, False),
        ({"notebook": {"name": "a", "version": "latest"}}, False),
        ({"parameters": {"a": {"b": [1, "x", {"c": 1.5}]}}}, True),
        ({"parameters": []}, False),
        ({"parameters": "x"}, False),
        ({"inputs": [INPUT]}, True),
        ({"inputs": [{**INPUT, "name": "../x"}]}, False),
        ({"inputs": [{**INPUT, "size": -1}]}, False),
        ({"inputs": [INPUT] * 33}, False),
        ({"inputs": [{"name": "a"}]}, False),
        ({"profile": "gpu-large"}, True),
        ({"profile": "GPU"}, False),
        ({"profile": ""}, False),
        ({"timeoutSeconds": 1}, True),
        ({"timeoutSeconds": 0}, False),
        ({"timeoutSeconds": 259_201}, False),
        ({"timeoutSeconds": 1.5}, False),
        ({"queueTimeoutSeconds": 604_801}, False),
        ({"startTimeoutSeconds": 3601}, False),
        ({"retries": 4}, True),
        ({"retries": 5}, False),
        ({"retries": -1}, False),
        ({"ttlSecondsAfterFinished": 0}, True),
        ({"ttlSecondsAfterFinished": -1}, False),
        ({"outputs": {"html": False}}, True),
        ({"outputs": {"pdf": True}}, False),
        ({"submittedBy": "x" * 129}, False),
        ({"cancel": True}, True),
        ({"surprise": 1}, False),
    ],
)
def test_both_judge_alike(api: ApiServer, spec: dict[str, Any], right: bool) -> None:
    whole = {"notebook": {"name": "analysis"}, **spec}
    assert model_accepts("x", whole) is right
    assert server_accepts(api, "x", whole) is right


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.fixed_dictionaries(
        {"notebook": st.fixed_dictionaries({"name": st.text("aZ0._-/ü ", max_size=70)})},
        optional={
            "retries": st.integers(-2, 7),
            "timeoutSeconds": st.integers(-1, 300_000),
            "profile": st.text("aB0-.", max_size=70),
            "cancel": st.booleans(),
            "submittedBy": st.text(st.characters(codec="utf-8", exclude_categories=["Cs"]), max_size=140),
            "parameters": st.dictionaries(
                st.text("ab", max_size=3), st.integers() | st.text("xyü", max_size=5) | st.booleans(), max_size=3
            ),
        },
    )
)
def test_both_judge_alike_whatever_comes(api: ApiServer, spec: dict[str, Any]) -> None:
    assert server_accepts(api, "x", spec) is model_accepts("x", spec)


@pytest.mark.parametrize(("name", "right"), [("a", True), ("a-1", True), ("a" * 63, True), ("a" * 64, False), ("a.b", False)])
def test_a_name_fits_a_label(api: ApiServer, name: str, right: bool) -> None:
    spec = {"notebook": {"name": "analysis"}}
    assert model_accepts(name, spec) is right
    assert server_accepts(api, name, spec) is right


def test_a_spec_stays_as_it_is_except_for_cancel_and_the_time_to_live(api: ApiServer) -> None:
    path = f"{api.executions}/fixed"
    api.create("fixed", parameters={"a": 1}, retries=1, profile="small").raise_for_status()
    try:
        for change in (
            {"retries": 2},
            {"retries": None},
            {"profile": "large"},
            {"timeoutSeconds": 5},
            {"notebook": {"name": "other"}},
            {"parameters": {"a": 2}},
            {"outputs": {"html": False}},
        ):
            answer = api.patch(path, {"spec": change})
            assert (answer.status_code, "immutable" in answer.text) == (422, True), change
        assert api.patch(path, {"spec": {"ttlSecondsAfterFinished": 5}}).status_code == 200
        assert api.patch(path, {"spec": {"cancel": True}}).status_code == 200
        back = api.patch(path, {"spec": {"cancel": False}})
        assert (back.status_code, "cannot be undone" in back.text) == (422, True)
    finally:
        api.client.delete(path)


def test_kubectl_explains_every_field(api: ApiServer) -> None:
    def explained() -> str:
        command = ["kubectl", f"--kubeconfig={api.kubeconfig}", "explain", "nbx.spec"]
        return subprocess.run(command, check=False, capture_output=True, text=True).stdout

    api.until("kubectl knows the resource", lambda: "queueTimeoutSeconds" in explained())
    assert "<no description>" not in explained()
