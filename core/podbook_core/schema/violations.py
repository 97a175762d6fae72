"""What a value breaks of a schema, in words a caller can act on: where, what is wrong, and what would be right. Pure."""

import difflib
import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from itertools import islice
from typing import Any

from jsonschema import Draft7Validator, Draft202012Validator, FormatChecker
from jsonschema.exceptions import ValidationError
from jsonschema.protocols import Validator
from referencing import Registry
from referencing.exceptions import NoSuchResource

from podbook_core.text.clipping import clip
from podbook_core.text.json_pointer import escape, pointer

__all__ = ["FORMATS", "Violation", "find_violations", "too_deep", "validator_for"]

MAX_VIOLATIONS = 20
FORMATS = frozenset(
    {
        "date",
        "date-time",
        "email",
        "idn-email",
        "idn-hostname",
        "ipv4",
        "ipv6",
        "json-pointer",
        "regex",
        "relative-json-pointer",
        "time",
        "uuid",
    }
)
"""The formats that are checked, as far as the schema's draft has them. jsonschema checks those for which it finds a library; these
are the same in every image and on every machine."""
_ERRORS = 1000
_SHOWN = 80


@dataclass(frozen=True, slots=True)
class Violation:
    """One broken rule."""

    path: str
    """JSON pointer (RFC 6901) to the value, empty for the whole of it."""
    problem: str
    """What is wrong with it."""
    expected: str
    """What would be right."""

    def sentence(self) -> str:
        """The violation as one line for people."""
        return f"{self.path or '(the whole value)'}: {self.problem}; expected {self.expected}"


def too_deep() -> Violation:
    """What is said of a value that cannot be walked."""
    return Violation("", "is nested too deeply to be checked", "a flatter value")


def validator_for(schema: Mapping[str, Any] | bool) -> Validator:
    """A validator that fetches nothing and checks formats.

    The draft is the one the schema names; without a name 2020-12, unless the schema is valid only as draft-07.
    """
    registry: Registry[Any] = Registry(retrieve=_refuse)  # type: ignore[call-arg] # attrs strips the alias for the type checker
    kind: type[Draft202012Validator | Draft7Validator] = Draft202012Validator
    if isinstance(schema, Mapping):
        named = str(schema.get("$schema", ""))
        if "draft-07" in named or (
            not named and not _is_valid(Draft202012Validator, schema) and _is_valid(Draft7Validator, schema)
        ):
            kind = Draft7Validator
    return kind(schema, registry=registry, format_checker=_formats(kind))  # type: ignore[no-any-return,arg-type,call-arg,unused-ignore]


@cache
def _formats(kind: type[Validator]) -> FormatChecker:
    """The draft's formats, except ``date-time``: one without an offset, or with a blank for its T, is accepted as well, as pydantic does.

    These are what Python writes: ``datetime.isoformat()`` and ``str(datetime)``.
    """
    checker = FormatChecker(())
    known = kind.FORMAT_CHECKER.checkers
    strict, raises = known["date-time"]

    def date_time(value: object) -> bool:
        text = f"{value[:10]}T{value[11:]}" if isinstance(value, str) and value[10:11] == " " else value
        return bool(strict(text) or strict(f"{text}Z"))

    checker.checkers = {name: known[name] for name in FORMATS & known.keys()} | {"date-time": (date_time, raises)}
    return checker


def find_violations(schema: Mapping[str, Any] | bool | Validator, value: Any) -> list[Violation]:
    """At most twenty violations of a schema, or of what :func:`validator_for` made of one; nearest to the root first."""
    validator = validator_for(schema) if isinstance(schema, Mapping | bool) else schema
    # Each error carries copies of what it is about: a large value that is wrong everywhere would fill the memory.
    found = islice(validator.iter_errors(value), _ERRORS)
    errors = sorted(found, key=lambda error: (len(error.absolute_path), str(error.absolute_path)))
    return [violation for error in errors for violation in _violations(error)][:MAX_VIOLATIONS]


def _is_valid(kind: type[Draft202012Validator | Draft7Validator], schema: Mapping[str, Any]) -> bool:
    return next(iter(kind(kind.META_SCHEMA).iter_errors(schema)), None) is None


def _refuse(uri: str) -> Any:
    raise NoSuchResource(uri)


def _violations(error: ValidationError) -> Iterator[Violation]:
    path = pointer(error.absolute_path)
    schema = error.schema if isinstance(error.schema, Mapping) else {}
    rule, limit = str(error.validator), error.validator_value
    shown = _show(error.instance)
    properties = schema.get("properties")
    known = dict(properties) if isinstance(properties, Mapping) else {}
    match rule:
        case "required":
            for name in limit if isinstance(limit, list) else []:
                if isinstance(error.instance, Mapping) and name not in error.instance and f"{name!r}" in error.message:
                    yield Violation(f"{path}/{escape(name)}", "is missing", _describe(known.get(name, {})))
        case "additionalProperties" | "unevaluatedProperties" if limit is False and isinstance(error.instance, Mapping):
            patterns = [*schema.get("patternProperties", {})]
            for name in error.instance:
                if name not in known and f"{name!r}" in error.message and not any(re.search(item, name) for item in patterns):
                    close = difflib.get_close_matches(str(name), list(known), n=1)
                    hint = (
                        f"{close[0]!r} (did you mean that?)" if close else f"one of {', '.join(sorted(known)) or 'no names at all'}"
                    )
                    yield Violation(f"{path}/{escape(clip(str(name), _SHOWN))}", "is not a known name", hint)
        case "type":
            yield Violation(path, f"is {_type_of(error.instance)} ({shown})", _describe(schema))
        case "enum" | "const":
            allowed = limit if rule == "enum" and isinstance(limit, list) else [limit]
            yield Violation(path, f"is {shown}", "one of " + ", ".join(_show(item) for item in allowed[:20]))
        case "pattern":
            yield Violation(path, f"is {shown}", f"a text that matches {clip(str(limit), _SHOWN)}")
        case "format":
            yield Violation(path, f"is {shown}", f"a text in the format {limit}")
        case "minimum" | "maximum" | "exclusiveMinimum" | "exclusiveMaximum" | "multipleOf":
            words = {
                "minimum": "at least",
                "maximum": "at most",
                "exclusiveMinimum": "more than",
                "exclusiveMaximum": "less than",
                "multipleOf": "a multiple of",
            }
            yield Violation(path, f"is {shown}", f"{words[rule]} {limit}")
        case "minLength" | "maxLength" | "minItems" | "maxItems" | "minProperties" | "maxProperties":
            unit = {"Length": "characters", "Items": "items", "Properties": "properties"}[rule[3:]]
            yield Violation(path, f"has {_length(error.instance)} {unit}", f"at {'least' if rule[:3] == 'min' else 'most'} {limit}")
        case _:
            yield Violation(path, clip(error.message, 300), f"what the schema says under {rule}")


def _describe(schema: Any) -> str:
    if not isinstance(schema, Mapping):
        return "a value"
    if "enum" in schema:
        return "one of " + ", ".join(_show(item) for item in schema["enum"][:20])
    kind = schema.get("type")
    names = [str(item) for item in kind] if isinstance(kind, list) else [str(kind)] if kind else []
    text = " or ".join(_ARTICLES.get(name, name) for name in names) or "a value"
    about = schema.get("description") or schema.get("title")
    return f"{text} ({clip(str(about), 120)})" if about else text


_ARTICLES = {
    "string": "a string",
    "number": "a number",
    "integer": "an integer",
    "boolean": "true or false",
    "array": "an array",
    "object": "an object",
    "null": "null",
}


def _length(value: Any) -> int:
    return len(value) if isinstance(value, str | list | dict) else 0


def _type_of(value: Any) -> str:
    match value:
        case None:
            return "null"
        case bool():
            return "a boolean"
        case int() | float():
            return "a number"
        case str():
            return "a string"
        case list():
            return "an array"
        case _:
            return "an object"


def _show(value: Any) -> str:
    return clip(json.dumps(value, ensure_ascii=False, default=str), _SHOWN)
