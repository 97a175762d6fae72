"""What the answers of a Kubernetes API server mean."""

import json

import pytest

from podbook_cluster.answers import Meaning, classify, message_of, missing_right

RIGHT = 'cannot create resource "notebookexecutions" in API group "podbook.dev" in the namespace "runs"'
NO_RIGHT = f'notebookexecutions.podbook.dev is forbidden: User "system:serviceaccount:podbook:api" {RIGHT}'


@pytest.mark.parametrize(
    ("status", "reason", "message", "meaning"),
    [
        (403, "Forbidden", NO_RIGHT, Meaning.NO_RIGHT),
        (403, "Forbidden", 'nb "a" is forbidden: exceeded quota: few, requested: count/nb=1, used: 5, limited: 5', Meaning.QUOTA),
        (403, "Forbidden", 'nb "a" is forbidden: status unknown for quota: few', Meaning.UNAVAILABLE),
        (403, "Forbidden", 'nb "a" is forbidden: not yet ready to handle request', Meaning.UNAVAILABLE),
        (403, "Forbidden", "nb \"a\" is forbidden: ValidatingAdmissionPolicy 'p' denied request: no", Meaning.REFUSED),
        (403, "Forbidden", 'admission webhook "x" denied the request: exceeded quota: mine', Meaning.REFUSED),
        (401, "Unauthorized", "Unauthorized", Meaning.UNAVAILABLE),
        (404, "NotFound", "", Meaning.NOT_FOUND),
        (409, "AlreadyExists", "", Meaning.CONFLICT),
        (410, "Expired", "", Meaning.REFUSED),
        (422, "Invalid", "", Meaning.REFUSED),
        (429, "TooManyRequests", "", Meaning.UNAVAILABLE),
        (502, "", "<html>", Meaning.UNAVAILABLE),
    ],
)
def test_meanings(status: int, reason: str, message: str, meaning: Meaning) -> None:
    assert classify(status, reason, message) is meaning


def test_the_missing_right_is_named_without_the_account() -> None:
    assert missing_right(NO_RIGHT) == RIGHT
    assert missing_right("forbidden") == "(the API server does not say which)"


@pytest.mark.parametrize(
    ("body", "found"),
    [
        (json.dumps({"reason": "Forbidden", "message": "no"}).encode(), ("Forbidden", "no")),
        (b'{"message": null}', ("", "")),
        (b"[]", ("", "[]")),
        (b"<html>\xff", ("", "<html>\ufffd")),
    ],
)
def test_what_an_answer_says(body: bytes, found: tuple[str, str]) -> None:
    assert message_of(body) == found
