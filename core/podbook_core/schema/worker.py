"""The process behind :class:`podbook_core.schema.validation.ContractValidator`: one JSON request a line in, one JSON answer a line out."""

import json
import re
import resource
import sys
from collections.abc import Iterator, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from jsonschema.exceptions import SchemaError
from jsonschema.protocols import Validator
from referencing.exceptions import Unresolvable as _UnresolvableError

from podbook_core.schema.violations import Violation, find_violations, too_deep, validator_for
from podbook_core.text.json_pointer import escape, pointer

__all__ = ["main"]

_MEMORY = 1024**3
"""Address space in bytes, besides what there is at the start; a schema that wants more is refused by the death of this process."""
_KEPT = 1024**2
"""Most characters of the schemas whose validators are kept."""


def main() -> None:
    """Answer until standard input ends."""
    limit = _own_size() + _MEMORY
    resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
    print(json.dumps("ready"), flush=True)  # noqa: T201 - standard output is the answer channel
    validators: dict[str, Validator] = {}
    for line in sys.stdin:
        try:
            answer = _answer(json.loads(line), validators)
        except RecursionError:
            answer = {"place": "", "problem": "is nested too deeply", "violations": [asdict(too_deep())]}
        except MemoryError:
            raise
        except Exception as error:  # noqa: BLE001 - a schema can make jsonschema raise anything; the next one is still answered
            answer = _unusable(error)
        print(json.dumps(answer), flush=True)  # noqa: T201


def _unusable(error: Exception) -> dict[str, Any]:
    """The answer where checking itself raised."""
    kind = type(error).__name__
    violation = Violation("", f"could not be checked: its schema raised {kind}", "a contract that can be checked against it")
    return {"place": "", "problem": f"cannot be checked against: it raised {kind}", "violations": [asdict(violation)]}


def _own_size() -> int:
    """Address space in bytes: a fork begins with its parent's (proc(5), statm)."""
    try:
        return int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    except OSError:
        return 0


def _answer(request: Mapping[str, Any], validators: dict[str, Validator]) -> dict[str, Any]:
    schema = request["schema"]
    if request["do"] == "check":
        place, problem = _check(schema)
        return {"place": place, "problem": problem}
    try:
        found = find_violations(_validator(schema, validators), request["value"])
    except _UnresolvableError:
        found = [
            Violation(
                "", "could not be checked: the schema has a reference that does not resolve", "a contract without such a reference"
            )
        ]
    return {"violations": [asdict(item) for item in found]}


def _validator(schema: Mapping[str, Any] | bool, known: dict[str, Validator]) -> Validator:
    """The validator of a schema, kept for the next question about it: to make one takes longer than most answers."""
    key = json.dumps(schema)
    found = known.pop(key, None) or validator_for(schema)
    known[key] = found  # the newest comes last
    while sum(map(len, known)) > _KEPT and len(known) > 1:
        del known[next(iter(known))]
    return found


def _check(schema: Mapping[str, Any]) -> tuple[str, str | None]:
    """Place and problem of a schema; a stall is noticed by the parent, which kills this process."""
    validator = validator_for(schema)
    try:
        type(validator).check_schema(dict(schema))
    except SchemaError as error:
        return pointer(error.absolute_path), f"is not a valid JSON Schema: {error.message[:300]}"
    except RecursionError:
        return "", "is nested too deeply"
    for place, pattern in _patterns(schema, ""):
        try:
            compiled = re.compile(pattern)
        except re.error as error:
            return place, f"is not a valid regular expression: {error}"
        for probe in _probes(pattern):
            compiled.search(probe)
    for value in ({}, [], "", 0, None, *_examples(schema)):
        try:
            validator.is_valid(value)
        except RecursionError:
            return "", "has a reference cycle"
        except _UnresolvableError:
            return "", "has a reference that does not resolve"
    return "", None


def _patterns(node: Any, place: str) -> Iterator[tuple[str, str]]:
    if isinstance(node, Mapping):
        if isinstance(node.get("pattern"), str):
            yield f"{place}/pattern", node["pattern"]
        names = node.get("patternProperties")
        if isinstance(names, Mapping):
            yield from ((f"{place}/patternProperties/{escape(str(name))}", str(name)) for name in names)
        for key, inner in node.items():
            yield from _patterns(inner, f"{place}/{escape(str(key))}")
    elif isinstance(node, list):
        for number, inner in enumerate(node):
            yield from _patterns(inner, f"{place}/{number}")


def _probes(pattern: str) -> Iterator[str]:
    """Texts that make the classic catastrophic patterns backtrack without end: a long run, then something that breaks it."""
    letters = {"a", "0", " ", "_", "-", "."} | {letter for letter in pattern if letter.isalnum()}
    for letter in sorted(letters):
        yield letter * 40 + "\x00"
    yield "a0" * 20 + "\x00"


def _examples(schema: Mapping[str, Any]) -> list[Any]:
    examples = schema.get("examples")
    return list(examples) if isinstance(examples, list) else []


if __name__ == "__main__":
    main()
