"""Objects nobody would write, straight through the API server: each is refused there or answered by the operator, which stays up."""

import json
import secrets
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from .installation import ENDED, Installation
from .kubectl import KubectlError
from .patience import until

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(300)]

Document = dict[str, Any]

TEXT = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\x00"), max_size=40)
JSON: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.floats(allow_nan=False, allow_infinity=False) | TEXT,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXT, inner, max_size=3),
    max_leaves=8,
)
SPECS = st.fixed_dictionaries(
    {"notebook": st.fixed_dictionaries({"name": st.sampled_from(["quick", "free", "nothing"]) | TEXT}) | JSON},
    optional={
        "parameters": st.dictionaries(TEXT, JSON, max_size=4) | JSON,
        "profile": st.sampled_from(["lean", "golden"]) | TEXT,
        "timeoutSeconds": st.integers(-5, 10**7) | JSON,
        "retries": st.integers(-1, 9),
        "inputs": st.lists(JSON, max_size=2),
        "cancel": st.booleans() | TEXT,
        "outputs": JSON,
        "somethingElse": JSON,
    },
)
HAND_MADE = {
    "unicode everywhere": {"notebook": {"name": "quick"}, "parameters": {"número": "数字 🧮", "\u202eabc": "\ud7ff"}},
    "an unknown field": {"notebook": {"name": "free"}, "podTemplate": {"hostNetwork": True}, "profile": "golden"},
    "300 KiB of parameters": {"notebook": {"name": "free"}, "parameters": {"text": "x" * 300_000}},
    "900 KiB of parameters": {"notebook": {"name": "free"}, "parameters": {"text": "x" * 900_000}},
    "deep parameters": {"notebook": {"name": "free"}, "profile": "lean", "parameters": {"deep": json.loads("[" * 200 + "]" * 200)}},
    "absurdly deep parameters": {"notebook": {"name": "free"}, "profile": "lean", "parameters": {"deep": "DEEP"}},
    "an input nobody uploaded": {
        "notebook": {"name": "free"},
        "profile": "lean",
        "inputs": [{"name": "data.csv", "sha256": "0" * 64, "size": 3}],
    },
    "an input named to escape": {"notebook": {"name": "free"}, "inputs": [{"name": "../../etc", "sha256": "0" * 64, "size": 3}]},
    "a notebook named to escape": {"notebook": {"name": "../record"}},
    "parameters that are not Python names": {
        "notebook": {"name": "free"},
        "profile": "lean",
        "parameters": {"__import__('os')": 1},
    },
    "cancelled before it began": {"notebook": {"name": "quick"}, "parameters": {"number": 1}, "cancel": True},
    "no spec at all": None,
}


@pytest.fixture(scope="module")
def made(podbook: Installation) -> Iterator[list[str]]:
    """Names of what the API server let through."""
    names: list[str] = []
    yield names
    podbook.runs("delete", "nbx", "--ignore-not-found", "--wait=false", *names)


def _create(podbook: Installation, spec: Any) -> str | None:
    """Send an object as it is, without kubectl's own checks; None when the API server refuses it."""
    name = f"malformed-{secrets.token_hex(5)}"
    document: Document = {
        "apiVersion": "podbook.dev/v1alpha1",
        "kind": "NotebookExecution",
        "metadata": {"name": name},
        "spec": spec,
    }
    path = f"/apis/podbook.dev/v1alpha1/namespaces/{podbook.runs.namespace}/notebookexecutions"
    try:
        podbook.runs("create", "--raw", path, "--filename=-", stdin=json.dumps(document).replace('"DEEP"', "[" * 5000 + "]" * 5000))
    except KubectlError as error:
        assert "Internal" not in str(error)  # noqa: PT017 - a refusal is expected, a broken server is not
        return None
    return name


@pytest.mark.parametrize("kind", HAND_MADE)
def test_hand_made(podbook: Installation, made: list[str], kind: str) -> None:
    name = _create(podbook, HAND_MADE[kind])
    if name is not None:
        made.append(name)
        status = _answered(podbook, name)
        assert status["phase"] in ("Failed", "Cancelled"), status


@settings(max_examples=60, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
@given(spec=SPECS)
def test_made_by_chance(podbook: Installation, made: list[str], spec: Document) -> None:
    name = _create(podbook, spec)
    if name is not None:
        made.append(name)


def test_every_one_is_answered_and_the_operator_stays_up(podbook: Installation, made: list[str]) -> None:
    assert made, "the API server refused everything: nothing was tried"
    for name in made:
        assert _answered(podbook, name)["reason"]
    assert podbook.restarts("operator") == 0
    assert podbook.restarts("api") == 0
    # And the next honest one runs.
    name = podbook.submit("quick", {"number": 2}, profile="lean")["id"]
    assert podbook.ended(name)["status"]["reason"] == "Succeeded"
    assert podbook.http.get("/v1/executions").status_code == 200


def _answered(podbook: Installation, name: str) -> Document:
    """The status of an object that has ended. Its spec may be deeper than this program reads, so only the status is asked for."""

    def probe() -> Document | None:
        status: Document = json.loads(podbook.runs("get", "nbx", name, "--output=jsonpath={.status}") or "{}")
        return status if status.get("phase") in ENDED else None

    return until(f"an answer to {name}", probe, seconds=90)
