"""Whatever a contract does to its validator, an answer comes in time and the next one is right."""

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import psutil
import pytest

from podbook_core.notebook.contract import Contract, ContractError
from podbook_core.schema.validation import (
    ContractValidator,
    ValidationBusyError,
    ValidationStalledError,
    ValidatorNotStartedError,
)
from podbook_core.schema.violations import MAX_VIOLATIONS, Violation, too_deep

STALLING = {"type": "string", "pattern": "^(a+)+$"}
STALLING_VALUE = "a" * 40 + "!"
INTEGER = {"type": "integer"}


class Workers:
    """The validation processes that began during a test; fixtures of other tests may have theirs."""

    def __init__(self) -> None:
        self._earlier = {child.pid for child in self._all()}

    def __call__(self) -> list[psutil.Process]:
        return [child for child in self._all() if child.pid not in self._earlier]

    @staticmethod
    def _all() -> list[psutil.Process]:
        return [
            child
            for child in psutil.Process().children()
            if child.status() != psutil.STATUS_ZOMBIE and "podbook_core.schema.worker" in child.cmdline()
        ]


@pytest.fixture
def workers() -> Workers:
    return Workers()


@pytest.fixture
def validator() -> Iterator[ContractValidator]:
    with ContractValidator(seconds=1.0, workers=1) as made:
        yield made


def checked(validator: ContractValidator, schema: Any) -> ContractError | None:
    """What a contract with this input schema is refused with."""
    try:
        validator.check_contract(Contract(input=schema))
    except ContractError as error:
        return error
    return None


def test_violations_come_from_the_process(validator: ContractValidator, workers: Workers) -> None:
    assert validator.violations(INTEGER, 3) == []
    assert validator.violations(INTEGER, "x") == [Violation("", 'is a string ("x")', "an integer")]
    assert len(workers()) == 1


def test_no_schema_needs_no_process(validator: ContractValidator, workers: Workers) -> None:
    assert validator.violations(None, "x") == []
    assert validator.violations(True, "x") == []
    validator.check_contract(Contract())
    assert workers() == []


def test_a_stall_ends_and_the_worker_is_replaced(validator: ContractValidator, workers: Workers) -> None:
    assert validator.violations(INTEGER, 3) == []
    before = workers()
    with pytest.raises(ValidationStalledError, match="did not finish within 1 s"):
        validator.violations(STALLING, STALLING_VALUE)
    assert not before[0].is_running()
    assert validator.violations(INTEGER, 3) == []
    assert len(workers()) == 1


def test_a_schema_that_eats_memory_ends_only_its_worker() -> None:
    # Every branch that does not match quotes the large constant.
    bomb = {"$defs": {"large": {"const": "x" * 200_000}}, "items": {"anyOf": [{"$ref": "#/$defs/large"}] * 50}}
    with ContractValidator(seconds=60, workers=1) as validator:
        with pytest.raises(ValidationStalledError, match="ran out of memory"):
            validator.violations(bomb, [0] * 1000)
        assert validator.violations(INTEGER, 3) == []


def test_a_large_value_that_is_wrong_everywhere(validator: ContractValidator) -> None:
    found = validator.violations({"items": {"const": "x" * 10_000}}, [0] * 100_000)
    assert len(found) == MAX_VIOLATIONS


def test_a_worker_that_died_in_between_is_nobodys_fault(validator: ContractValidator, workers: Workers) -> None:
    assert validator.violations(INTEGER, 3) == []
    victim = workers()[0]
    os.kill(victim.pid, signal.SIGKILL)
    deadline = time.monotonic() + 30
    while victim.is_running() and victim.status() != psutil.STATUS_ZOMBIE:
        assert time.monotonic() < deadline
        time.sleep(0.01)
    assert validator.violations(INTEGER, "x") != []


def test_checks_share_their_workers_and_never_mix_answers(workers: Workers) -> None:
    with ContractValidator(seconds=5, workers=2) as validator, ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda number: validator.violations({"const": number}, number % 3), range(30)))
        assert [not answer for answer in answers] == [number == number % 3 for number in range(30)]
        assert len(workers()) <= 2
    assert workers() == []


def test_a_schema_is_remembered_and_never_taken_for_another(validator: ContractValidator, workers: Workers) -> None:
    # Together more than is kept of them, each more than a pipe holds.
    schemas = [{"const": number, "description": "x" * 300_000} for number in range(5)]
    for _ in range(2):
        for number, schema in enumerate(schemas):
            assert validator.violations(schema, number) == []
            assert validator.violations(schema, -1) != []
    assert len(workers()) == 1


def test_values_of_any_kind_pass_unchanged(validator: ContractValidator) -> None:
    value = {"text": "é\n\u2028\ud83d\ude00", "lines": ["a\nb"], "big": 10**30, "deep": [[[[1]]]], "none": None}
    assert validator.violations({"const": value}, value) == []


def test_a_deeply_nested_value_is_answered(validator: ContractValidator) -> None:
    value: Any = 1
    for _ in range(400):
        value = [value]
    found = validator.violations({"$ref": "#/$defs/a", "$defs": {"a": {"items": {"$ref": "#/$defs/a"}}}}, value)
    assert found in ([], [too_deep()])
    assert validator.violations(INTEGER, 3) == []


@pytest.mark.parametrize("levels", [900, 950, 980, 3_000, 10_000, 100_000])
def test_a_value_that_cannot_be_handed_over_is_answered(validator: ContractValidator, levels: int) -> None:
    value: Any = 1
    for _ in range(levels):
        value = [value]
    # Which of the two, depends on the Python and on the stack.
    assert validator.violations({"type": "array"}, value) in ([], [too_deep()])
    assert validator.violations(INTEGER, 3) == []


@pytest.mark.parametrize(
    "schema",
    [
        {"type": "object", "properties": {"a": {"type": "integer"}}, "required": ["a"]},
        {"$schema": "http://json-schema.org/draft-07/schema#", "items": [{"type": "string"}]},
        {"$defs": {"node": {"properties": {"next": {"$ref": "#/$defs/node"}}}}, "$ref": "#/$defs/node"},
        {"pattern": "^[a-z]+$"},
        {"$defs": {"a": {"$anchor": "here"}}, "$ref": "#here"},
        True,
        {},
    ],
)
def test_good_contracts(validator: ContractValidator, schema: Any) -> None:
    assert checked(validator, schema) is None


@pytest.mark.parametrize(
    ("schema", "place", "problem"),
    [
        ({"type": "strin"}, "/input/type", "is not a valid JSON Schema"),
        ({"properties": {"a": {"minimum": "x"}}}, "/input/properties/a/minimum", "is not a valid JSON Schema"),
        (
            {"properties": {"a": {"pattern": "("}}},
            "/input/properties/a/pattern",
            "regular expression|not a valid JSON Schema|is not a 'regex'",
        ),
        ({"patternProperties": {"[": {}}}, "/input", "regular expression|not a valid JSON Schema|is not a 'regex'"),
        (STALLING, "/input", "did not finish within 1 s: simplify its patterns"),
        ({"properties": {"a": {"patternProperties": {"^(b*)*$": {}}}}}, "/input", "did not finish|ran out"),
        ({"$ref": "#"}, "/input", "has a reference cycle"),
        ({"$ref": "#nowhere"}, "/input", "has a reference that does not resolve"),
    ],
)
def test_bad_contracts(validator: ContractValidator, schema: Any, place: str, problem: str) -> None:
    error = checked(validator, schema)
    assert error is not None
    assert error.place.startswith(place)
    assert any(words in error.problem for words in problem.split("|"))
    assert validator.violations(INTEGER, 3) == []


def test_the_output_schema_is_checked_too(validator: ContractValidator) -> None:
    with pytest.raises(ContractError) as caught:
        validator.check_contract(Contract(input=INTEGER, output={"type": 3}))
    assert caught.value.place == "/output/type"


# Passes the check of a contract: nothing that is tried there begins like this.
SLOW = {"type": "string", "pattern": "^PREFIX:(a+)+$"}
SLOW_VALUE = "PREFIX:" + "a" * 40 + "!"


def test_a_contract_that_stalls_holds_up_its_own_callers_only() -> None:
    order: list[str] = []
    with ContractValidator(seconds=1.0, workers=2) as validator, ThreadPoolExecutor(41) as pool:
        validator.check_contract(Contract(input=SLOW))

        def bob() -> str:
            try:
                validator.violations(SLOW, SLOW_VALUE)
            except ValidationStalledError as error:
                order.append("bob")
                return str(error)
            raise AssertionError("it did not stall")

        bobs = [pool.submit(bob) for _ in range(40)]
        assert pool.submit(validator.violations, INTEGER, 3).result() == []
        order.append("alice")
        answers = [call.result() for call in bobs]
    # One of bob's may have stalled already; the other worker was alice's all the while.
    assert order.index("alice") <= 1
    assert sum("did not finish within 1 s" in answer for answer in answers) == 2
    assert sum("not retried for" in answer for answer in answers) == 38


def test_a_contract_that_stalled_is_tried_again_after_a_minute() -> None:
    now = [0.0]
    with ContractValidator(seconds=0.5, workers=1, clock=lambda: now[0]) as validator:
        for _ in range(2):
            with pytest.raises(ValidationStalledError, match="did not finish"):
                validator.violations(SLOW, SLOW_VALUE)
        with pytest.raises(ValidationStalledError, match="not retried for 60 s"):
            validator.violations(SLOW, "PREFIX:a")
        now[0] = 60.0
        assert validator.violations(SLOW, "PREFIX:a") == []


def test_a_wait_for_a_worker_ends(workers: Workers) -> None:
    begun = threading.Event()

    def check(validator: ContractValidator) -> None:
        begun.set()
        validator.violations(SLOW, SLOW_VALUE)

    with ContractValidator(seconds=60, workers=1, patience=0.2) as validator, ThreadPoolExecutor(1) as pool:
        assert validator.violations(INTEGER, 3) == []
        busy = pool.submit(check, validator)
        begun.wait()
        while workers()[0].cpu_times().user < 0.5:  # it is at it
            time.sleep(0.05)
        with pytest.raises(ValidationBusyError):
            validator.violations(INTEGER, 3)
        workers()[0].kill()
        with pytest.raises(ValidationStalledError):
            busy.result()
        assert validator.violations(INTEGER, 3) == []


def test_a_worker_that_does_not_start_is_not_the_fault_of_the_schema() -> None:
    def broken() -> subprocess.Popen[bytes]:
        return subprocess.Popen(
            [sys.executable, "-c", "raise SystemExit(1)"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, bufsize=0
        )

    with ContractValidator(workers=1, start=broken) as validator:
        for _ in range(3):  # nor is it remembered as a stall of the schema
            with pytest.raises(ValidatorNotStartedError, match="did not start"):
                validator.violations(INTEGER, 1)
        with pytest.raises(ValidationBusyError):
            validator.check_contract(Contract(input=INTEGER))


def test_a_schema_that_makes_the_check_raise_is_named(validator: ContractValidator, workers: Workers) -> None:
    schema = {"multipleOf": 0.5}
    violations = validator.violations(schema, 10**400)
    assert [(item.path, item.problem) for item in violations] == [("", "could not be checked: its schema raised OverflowError")]
    assert validator.violations(schema, 3.5) == []
    assert len(workers()) == 1  # the same worker goes on
