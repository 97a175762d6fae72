"""``podbook keys``: a keys file from nothing to revoked, and used."""

import json
import stat
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from subprocess import CompletedProcess

import pytest

from podbook_api.auth.keys import Keyring

Cli = Callable[..., "CompletedProcess[str]"]


def test_a_key_is_made_shown_once_and_revoked(offline_cli: Cli, tmp_path: Path) -> None:
    path = tmp_path / "new" / "keys.json"
    file = ("--file", str(path))
    made = offline_cli("keys", "create", "--id", "ci", "--scope", "notebooks/analysis/run", "--expires", "90d", *file)
    assert made.returncode == 0, made.stderr
    key = made.stdout.strip()
    assert key.startswith("pbk_")
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert key not in path.read_text()

    caller = Keyring(path).caller(key, now=datetime.now(UTC))
    assert caller is not None
    assert caller.id == "ci"
    assert caller.may("notebooks", "analysis", "run")
    assert not caller.may("notebooks", "other", "run")

    again = offline_cli("keys", "create", "--id", "ci", "--scope", "*", *file)
    assert again.returncode == 1
    assert "a key ci already exists" in again.stderr

    assert offline_cli("keys", "create", "--id", "two", "--scope", "*", *file).returncode == 0
    listed = offline_cli("keys", "list", *file)
    assert [line.split()[:2] for line in listed.stdout.splitlines()] == [
        ["ID", "SCOPES"],
        ["ci", "notebooks/analysis/run"],
        ["two", "*"],
    ]

    assert offline_cli("keys", "revoke", "ci", *file).returncode == 0
    assert Keyring(path).caller(key, now=datetime.now(UTC)) is None
    assert [entry["id"] for entry in json.loads(path.read_text())["keys"]] == ["two"]
    gone = offline_cli("keys", "revoke", "ci", *file)
    assert (gone.returncode, gone.stderr.count("\n")) == (1, 1)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--id", "a b", "--scope", "*"], "'a b' is not a valid key name"),
        (["--id", "a", "--scope", "Every Thing"], "'Every Thing' is not a valid scope"),
        (["--id", "a", "--scope", "*", "--expires", "soon"], "neither a duration"),
        (["--id", "a"], "--scope"),
    ],
)
def test_wrong_words_make_no_file(offline_cli: Cli, tmp_path: Path, arguments: list[str], message: str) -> None:
    path = tmp_path / "keys.json"
    done = offline_cli("keys", "create", *arguments, "--file", str(path))
    assert done.returncode == 2
    assert message in done.stderr
    assert not path.exists()


def test_a_file_that_is_something_else_is_left_alone(offline_cli: Cli, tmp_path: Path) -> None:
    path = tmp_path / "keys.json"
    path.write_text('{"tokens": []}')
    done = offline_cli("keys", "create", "--id", "a", "--scope", "*", "--file", str(path))
    assert done.returncode == 1
    assert "is not a valid keys file" in done.stderr
    assert "Traceback" not in done.stderr
    assert path.read_text() == '{"tokens": []}'
    missing = offline_cli("keys", "list", "--file", str(tmp_path / "none.json"))
    assert (missing.returncode, "No such file" in missing.stderr) == (1, True)
