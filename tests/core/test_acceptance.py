"""May it run, and as what."""

from collections.abc import Iterator
from typing import Any

import pytest

from podbook_core.execution.acceptance import Accepted, Limits, Refused, accept, limits
from podbook_core.execution.model import MAX_PARAMETERS_BYTES, NotebookRef, Spec
from podbook_core.execution.profiles import Profile, ProfileAccess, parse_profiles
from podbook_core.execution.reasons import Reason
from podbook_core.notebook.contract import Contract
from podbook_core.schema.validation import ContractValidator
from podbook_core.text.digests import digest_json

from .builders import DIGEST, version

PROFILES = {
    "default": Profile(image="runner:1", timeout_seconds=60, max_timeout_seconds=100),
    "large": Profile(timeout_seconds=90),
    "closed": Profile(allowed=ProfileAccess(keys=["alice"], notebooks=["analysis"])),
}
CONTRACT = Contract(
    input={"type": "object", "properties": {"year": {"type": "integer"}}, "required": ["year"]}, timeout_seconds=30, retries=1
)


@pytest.fixture(scope="module")
def validator() -> Iterator[ContractValidator]:
    with ContractValidator(seconds=20, workers=1) as made:
        yield made


def spec(**fields: Any) -> Spec:
    """What is wanted."""
    return Spec(**{"notebook": NotebookRef(name="analysis"), **fields})


def refused(validator: ContractValidator, wanted: Spec, contract: Contract = CONTRACT) -> Refused:
    """The refusal of a spec."""
    decision = accept(wanted, version(contract), PROFILES, validator)
    assert isinstance(decision, Refused)
    return decision


def test_what_is_accepted_is_fixed(validator: ContractValidator) -> None:
    decision = accept(spec(parameters={"year": 2024}), version(CONTRACT), PROFILES, validator)
    assert isinstance(decision, Accepted)
    resolved = decision.resolved
    assert (resolved.version, resolved.profile, resolved.image, resolved.timeout_seconds) == (DIGEST, "default", "runner:1", 30)
    assert resolved.parameters_digest == digest_json({"year": 2024})
    assert decision.limits == Limits(timeout=30, queue_timeout=86_400, start_timeout=300, retries=1)


@pytest.mark.parametrize(
    ("wanted", "contract", "profile", "timeout", "retries"),
    [
        (spec(), Contract(), "default", 60, 0),
        (spec(), CONTRACT, "default", 30, 1),
        (spec(timeout_seconds=50, retries=0), CONTRACT, "default", 50, 0),
        (spec(timeout_seconds=5000), CONTRACT, "default", 100, 1),
        (spec(), Contract(), "large", 90, 0),
    ],
)
def test_the_nearest_wish_holds_within_the_profile(
    wanted: Spec, contract: Contract, profile: str, timeout: int, retries: int
) -> None:
    found = limits(wanted, version(contract), PROFILES[profile])
    assert (found.timeout, found.retries) == (timeout, retries)


def test_an_unknown_notebook(validator: ContractValidator) -> None:
    decision = accept(spec(notebook=NotebookRef(name="analysis", version=DIGEST)), None, PROFILES, validator)
    assert decision == Refused(Reason.NOTEBOOK_NOT_FOUND, "no notebook analysis@000000000000 is published")
    assert accept(spec(), None, PROFILES, validator) == Refused(Reason.NOTEBOOK_NOT_FOUND, "no notebook analysis is published")


def test_parameters_that_break_the_contract(validator: ContractValidator) -> None:
    decision = refused(validator, spec(parameters={"year": "x"}))
    assert decision.reason is Reason.INVALID_PARAMETERS
    assert decision.message == '/year: is a string ("x"); expected an integer'
    assert [item.path for item in decision.violations] == ["/year"]


def test_a_contract_that_stalls_is_the_authors_fault() -> None:
    contract = Contract(input={"properties": {"a": {"pattern": "^(a+)+$"}}})
    with ContractValidator(seconds=0.5, workers=1) as validator:
        decision = refused(validator, spec(parameters={"a": "a" * 40 + "!"}), contract)
    assert decision.reason is Reason.INVALID_PARAMETERS
    assert "ask the notebook's author" in decision.message


@pytest.mark.parametrize(
    ("parameters", "words"),
    [
        ({"x": float("nan")}, "NaN or an infinity"),
        ({"x": float("inf")}, "NaN or an infinity"),
        ({"x": "\ud800"}, "half of a surrogate pair"),
        ({"x": "y" * MAX_PARAMETERS_BYTES}, "at most 262144 are allowed"),
    ],
)
def test_parameters_that_cannot_be_kept(validator: ContractValidator, parameters: dict[str, Any], words: str) -> None:
    wanted = Spec.model_construct(notebook=NotebookRef(name="analysis"), parameters=parameters)
    decision = refused(validator, wanted, Contract())
    assert decision.reason is Reason.INVALID_PARAMETERS
    assert words in decision.message


def test_parameters_that_are_nested_without_end(validator: ContractValidator) -> None:
    value: Any = 1
    for _ in range(100_000):
        value = [value]
    wanted = Spec.model_construct(notebook=NotebookRef(name="analysis"), parameters={"x": value})
    assert refused(validator, wanted, Contract()).message == "the parameters are nested too deeply"


def test_profiles_are_offered_to_some(validator: ContractValidator) -> None:
    wanted = {"profile": "closed", "parameters": {"year": 1}}
    assert isinstance(accept(spec(**wanted, submitted_by="alice"), version(CONTRACT), PROFILES, validator), Accepted)
    decision = refused(validator, spec(**wanted, submitted_by="bob"))
    assert decision.reason is Reason.CONFIGURATION_ERROR
    assert "closed is not offered to this caller" in decision.message
    unknown = refused(validator, spec(profile="huge"))
    assert (unknown.reason, unknown.message) == (
        Reason.CONFIGURATION_ERROR,
        "there is no profile huge; there are closed, default, large",
    )


@pytest.mark.parametrize(
    ("keys", "notebooks", "key_id", "notebook", "permitted"),
    [
        ([], [], None, "n", True),
        (["a"], [], "a", "n", True),
        (["a"], [], None, "n", False),
        (["a"], [], "b", "n", False),
        ([], ["n"], None, "n", True),
        ([], ["n"], None, "m", False),
        (["a"], ["n"], "a", "m", False),
    ],
)
def test_who_may_use_a_profile(keys: list[str], notebooks: list[str], key_id: str | None, notebook: str, permitted: bool) -> None:
    profile = Profile(allowed=ProfileAccess(keys=keys, notebooks=notebooks))
    assert profile.permits(key_id=key_id, notebook=notebook) is permitted


def test_profiles_from_plain_data() -> None:
    assert parse_profiles(None) == {"default": Profile()}
    parsed = parse_profiles(
        {"large": {"image": "runner:2", "nodeSelector": {"disk": "fast"}, "resources": {"limits": {"memory": "2Gi"}}}}
    )
    assert set(parsed) == {"default", "large"}
    assert parsed["large"].node_selector == {"disk": "fast"}
    assert parse_profiles({"default": {"timeoutSeconds": 5}})["default"].timeout_seconds == 5
    with pytest.raises(ValueError, match="nodeselector"):
        parse_profiles({"large": {"nodeselector": {}}})


@pytest.mark.parametrize("name", ["customer-name", "a b", "1st", "", "x = 1; import os", "x\n"])
def test_a_name_that_is_no_variable_is_refused(validator: ContractValidator, name: str) -> None:
    decision = refused(validator, spec(parameters={name: 1}), Contract())
    assert decision.reason is Reason.INVALID_PARAMETERS
    assert decision.violations[0].problem == "cannot be the name of a variable"


@pytest.mark.parametrize("name", ["year", "_x", "größe", "my.param"])
def test_names_of_some_language_pass(validator: ContractValidator, name: str) -> None:
    assert isinstance(accept(spec(parameters={name: 1}), version(Contract()), PROFILES, validator), Accepted)
