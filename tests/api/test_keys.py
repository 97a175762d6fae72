"""API keys: what they may do, and how their file is read."""

import json
import logging
import os
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from pydantic import ValidationError

from podbook_api.auth.keys import Caller, InvalidKeysFileError, Keyring, create_key, key_hash

NOW = datetime(2026, 5, 1, tzinfo=UTC)


@pytest.mark.parametrize(
    ("scopes", "resource", "name", "action", "allowed"),
    [
        (["*"], "executions", "a-1", "delete", True),
        (["notebooks/analysis/run"], "notebooks", "analysis", "run", True),
        (["notebooks/analysis/run"], "notebooks", "analysis", "write", False),
        (["notebooks/analysis/run"], "notebooks", "analysis2", "run", False),
        (["notebooks/*/*"], "notebooks", "any.thing", "write", True),
        (["notebooks/*/*"], "executions", "a-1", "read", False),
        (["executions/*"], "executions", "a-1", "cancel", True),
        (["notebooks/sales-*/run"], "notebooks", "sales-2026", "run", True),
        (["notebooks/sales-*/run"], "notebooks", "sales", "run", False),
        (["notebooks"], "notebooks", "a", "read", True),
        ([], "notebooks", "a", "read", False),
    ],
)
def test_scopes_are_globs_on_whole_segments(scopes: list[str], resource: str, name: str, action: str, allowed: bool) -> None:
    assert Caller("k", tuple(scopes)).may(resource, name, action) is allowed


def test_running_and_writing_include_reading() -> None:
    assert Caller("k", ("notebooks/a/run",)).may_read_notebook("a")
    assert Caller("k", ("notebooks/a/write",)).may_read_notebook("a")
    assert not Caller("k", ("executions/*",)).may_read_notebook("a")


def write(path: Path, *entries: object) -> None:
    """Write a keys file whose change is seen whatever the clock's resolution."""
    path.write_text(json.dumps({"keys": list(entries)}))
    stamp = path.stat().st_mtime_ns + 1_000_000
    os.utime(path, ns=(stamp, stamp))


def entry(key_id: str, scopes: list[str], expires: datetime | None = None) -> tuple[str, object]:
    """A key and its entry as plain data."""
    plain, made = create_key(key_id, scopes, expires=expires, now=NOW)
    return plain, made.model_dump(mode="json", exclude_none=True)


def test_the_file_holds_no_key_and_the_key_is_found(tmp_path: Path) -> None:
    plain, made = entry("ci", ["notebooks/*/run"])
    write(tmp_path / "keys.json", made)
    assert plain.startswith("pbk_")
    assert len(plain) == 47
    assert plain not in (tmp_path / "keys.json").read_text()
    ring = Keyring(tmp_path / "keys.json")
    assert ring.caller(plain, now=NOW) == Caller("ci", ("notebooks/*/run",))
    assert ring.caller(plain + "x", now=NOW) is None
    assert ring.caller(None, now=NOW) is None
    assert ring.caller(key_hash(plain), now=NOW) is None


def test_an_expired_key_is_none(tmp_path: Path) -> None:
    plain, made = entry("ci", ["*"], expires=NOW)
    write(tmp_path / "keys.json", made)
    ring = Keyring(tmp_path / "keys.json")
    assert ring.caller(plain, now=NOW) is None
    assert ring.caller(plain, now=NOW - timedelta(seconds=1)) is not None


def test_a_changed_file_is_read_again_and_a_bad_one_keeps_the_last_good_keys(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "keys.json"
    first, first_entry = entry("first", ["*"])
    second, second_entry = entry("second", ["*"])
    write(path, first_entry)
    ring = Keyring(path)
    write(path, second_entry)
    assert ring.caller(first, now=NOW) is None
    assert ring.caller(second, now=NOW) is not None
    with caplog.at_level(logging.ERROR):
        path.write_text("{")
        assert ring.caller(second, now=NOW) is not None
        assert ring.caller(second, now=NOW) is not None
    assert ring.problem is not None
    assert len(caplog.records) == 1
    path.unlink()
    assert ring.caller(second, now=NOW) is not None
    write(path, first_entry)
    assert ring.caller(first, now=NOW) is not None
    assert ring.problem is None


@pytest.mark.parametrize(
    ("content", "why"),
    [
        ("{", "is not valid JSON"),
        ("[" * 100_000, "is not valid JSON"),
        ("[]", "is not valid"),
        ('{"keys": [{"id": "a", "hash": "plain", "scopes": []}]}', "keys/0/hash"),
        ('{"keys": [{"id": "a", "hash": "sha256:' + "0" * 64 + '", "scopes": ["a/b/c/d"]}]}', "keys/0/scopes/0"),
        ('{"keys": [{"id": "a", "hash": "sha256:' + "0" * 64 + '", "scopes": [], "expires": "2026-01-01T00:00:00"}]}', "expires"),
    ],
)
def test_a_bad_file_is_refused_at_the_start(tmp_path: Path, content: str, why: str) -> None:
    (tmp_path / "keys.json").write_text(content)
    with pytest.raises(InvalidKeysFileError, match=why):
        Keyring(tmp_path / "keys.json")


def test_two_keys_cannot_share_an_id(tmp_path: Path) -> None:
    write(tmp_path / "keys.json", entry("a", ["*"])[1], entry("a", ["*"])[1])
    with pytest.raises(InvalidKeysFileError, match="same id"):
        Keyring(tmp_path / "keys.json")


def test_a_missing_file_is_refused_at_the_start(tmp_path: Path) -> None:
    with pytest.raises(InvalidKeysFileError, match="cannot be read"):
        Keyring(tmp_path / "none.json")


def test_new_keys_need_a_proper_id_and_scopes() -> None:
    with pytest.raises(ValidationError):
        create_key("has space", ["*"], expires=None, now=NOW)
    with pytest.raises(ValidationError):
        create_key("ok", ["Notebooks/*"], expires=None, now=NOW)
