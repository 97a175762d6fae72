"""Errors as FastAPI tells them, ``{"detail": …}``, in the words of pydantic 1, which the older systems were built with. Pure, except for the body.

A wrong request is a list, with the place, a message and a stable type of each thing that is wrong; everything else is a sentence.
"""

import json
from collections.abc import Mapping
from functools import partial
from http import HTTPStatus
from typing import Annotated, Any

from fastapi import Request
from fastapi.responses import JSONResponse
from pydantic import BaseModel, ConfigDict, Field

from podbook_api.doors.problems import Code, FieldError, ProblemError
from podbook_api.doors.requests.bodies import is_json, parse_json, read_aside
from podbook_api.doors.requests.body_stream import limits_of, media_type_of, read_body
from podbook_core.text.json_pointer import unescape

__all__ = ["DetailsError", "detail_of", "detail_response", "failures", "read_object"]

_SENTENCES = {404: "Not Found", 405: "Method Not Allowed"}
"""Of what the framework refuses by itself."""
_WORDS: Mapping[str, tuple[str, str]] = {
    "missing": ("field required", "value_error.missing"),
    "bool_parsing": ("value could not be parsed to a boolean", "type_error.bool"),
    "bool_type": ("value could not be parsed to a boolean", "type_error.bool"),
    "int_parsing": ("value is not a valid integer", "type_error.integer"),
    "float_parsing": ("value is not a valid float", "type_error.float"),
    "string_type": ("str type expected", "type_error.str"),
    "dict_type": ("value is not a valid dict", "type_error.dict"),
    "none_type": ("none is not an allowed value", "type_error.none.not_allowed"),
}
"""Message and type in pydantic 1, by the type of pydantic 2."""
_KINDS: Mapping[type, str] = {str: "string_type", dict: "dict_type"}


class DetailItem(BaseModel):
    """One thing that is wrong with a request."""

    model_config = ConfigDict(extra="allow")

    loc: Annotated[list[str | int], Field(description="Where: body, query or path, and the names that lead there.")]
    msg: str
    type: str


class Detail(BaseModel):
    """What was wrong: a sentence, or a list."""

    detail: str | list[DetailItem]


def failures(*statuses: int, model: type[BaseModel] | None = None) -> dict[int | str, dict[str, Any]]:
    """The documented errors of an operation: those named, and those every operation may have.

    What the framework refuses is a :class:`Detail` everywhere; ``model`` is the shape of a door's own errors, where it has one.
    """
    return {
        status: {"model": Detail if status == 422 or model is None else model | Detail, "description": HTTPStatus(status).phrase}
        for status in sorted({*statuses, 401, 403, 404, 422, 503})
    }


class DetailsError(ProblemError):
    """A request that is wrong. ``details`` are the list that ``detail`` becomes."""

    def __init__(self, details: list[dict[str, Any]]) -> None:
        text = "; ".join(f"{'.'.join(map(str, item['loc']))}: {item['msg']}" for item in details)
        super().__init__(422, Code.INVALID_REQUEST, f"the request is not valid: {text}")
        self.details = details


def detail_of(problem: ProblemError) -> str | list[dict[str, Any]]:
    """What ``detail`` says of a problem."""
    if isinstance(problem, DetailsError):
        return problem.details
    errors = problem.extensions.get("errors")
    if problem.code == Code.INVALID_REQUEST and errors:
        return [_detail(item) for item in errors]
    if problem.code in (Code.NOT_FOUND, Code.METHOD_NOT_ALLOWED):
        return _SENTENCES[problem.status]
    return problem.detail


def detail_response(problem: ProblemError) -> JSONResponse:
    """The response to a problem."""
    return JSONResponse({"detail": detail_of(problem)}, problem.status, headers=problem.headers)


async def read_object(request: Request, members: Mapping[str, type]) -> dict[str, Any]:
    """The JSON object of a request's body, all of whose members have their type; others are passed over.

    As with pydantic 1, a number is read as a text where that is expected, and an empty list as an empty object. A body without a media
    type is read as JSON.

    Raises:
        DetailsError: it is not such an object.
        ProblemError: 413 for a large one, 400 for JSON that cannot be stored (NaN, lone surrogates).
    """
    limit = limits_of(request).json
    data = await read_body(request, limit)
    if not data:
        raise DetailsError([_missing(["body"])])
    if not is_json(media_type_of(request)):
        raise DetailsError([_wrong(["body"], "dict_type")])
    value = await read_aside(data, partial(_parsed, limit=limit))
    if value is None:
        raise DetailsError([_missing(["body"])])
    if not isinstance(value, dict):
        raise DetailsError([_wrong(["body"], "dict_type")])
    found = {**value, **{name: _coerced(value[name], kind) for name, kind in members.items() if name in value}}
    details = []
    for name, kind in members.items():
        if name not in found:
            details.append(_missing(["body", name]))
        elif found[name] is None:
            details.append(_wrong(["body", name], "none_type"))
        elif not isinstance(found[name], kind):
            details.append(_wrong(["body", name], _KINDS[kind]))
    if details:
        raise DetailsError(details)
    return found


def _parsed(data: bytes, *, limit: int) -> Any:
    try:
        json.loads(data)
    except json.JSONDecodeError as error:
        wrong = {
            "type": "json_invalid",
            "loc": ["body", error.pos],
            "msg": "JSON decode error",
            "input": {},
            "ctx": {"error": error.msg},
        }
        raise DetailsError([wrong]) from None
    except (ValueError, RecursionError):
        pass  # not UTF-8, or too deep: said below
    return parse_json(data, limit=limit)


def _coerced(value: Any, kind: type) -> Any:
    """A member as pydantic 1 reads it."""
    if kind is str and isinstance(value, int | float):
        return str(value)
    return {} if kind is dict and value == [] else value


def _missing(place: list[str | int]) -> dict[str, Any]:
    return _wrong(place, "missing")


def _wrong(place: list[str | int], kind: str) -> dict[str, Any]:
    message, name = _WORDS[kind]
    return {"loc": place, "msg": message, "type": name}


def _detail(error: FieldError) -> dict[str, Any]:
    message, name = _WORDS.get(error.problem, (error.expected, error.problem))
    return {"loc": [unescape(part) for part in error.path.split("/")[1:]], "msg": message, "type": name}
