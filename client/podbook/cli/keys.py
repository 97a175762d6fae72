"""``podbook keys``: the API keys of a keys file. The file holds hashes only; the key itself is printed once and kept nowhere."""

import contextlib
import fcntl
import json
import os
import re
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from itertools import count
from pathlib import Path

import click
from pydantic import ValidationError

from podbook.cli.failure import Failure
from podbook.cli.table import table
from podbook_api.auth.keys import KeyEntry, KeyFile, create_key, key_hash
from podbook_core.files import replace_file
from podbook_core.text.model_errors import problems

__all__ = ["expiry", "keys"]

_SHORTEST = 16
"""Characters of the shortest key that is imported."""
_SPAN = re.compile(r"([1-9]\d{0,4})([mhdw])")
_UNITS = {"m": timedelta(minutes=1), "h": timedelta(hours=1), "d": timedelta(days=1), "w": timedelta(weeks=1)}


def _file_option(command: Callable[..., None]) -> Callable[..., None]:
    return click.option(
        "--file",
        "path",
        type=click.Path(dir_okay=False, path_type=Path),
        envvar="PODBOOK_KEYS_FILE",
        required=True,
        help="The keys file, as given to `podbook serve --api-keys`.  [PODBOOK_KEYS_FILE]",
    )(command)


@click.group()
def keys() -> None:
    """Create, list and revoke API keys in a keys file. A running server reloads the file automatically."""


@keys.command()
@click.option("--id", "key_id", required=True, metavar="NAME", help="Name of the key, in logs and as an execution's submitter.")
@click.option(
    "--scope",
    "scopes",
    multiple=True,
    required=True,
    metavar="SCOPE",
    help="What it may do, such as notebooks/analysis/run, 'executions/*' or '*'; may be repeated.",
)
@click.option("--expires", metavar="SPAN|TIME", help="When it expires: 90d, 12h, 2w, or a time such as 2030-01-31.  [never]")
@_file_option
def create(key_id: str, scopes: tuple[str, ...], expires: str | None, path: Path) -> None:
    """Create a key, add it to the file and print it: this is the only time it is shown."""
    now = datetime.now(UTC).replace(microsecond=0)
    try:
        plain, entry = create_key(key_id, scopes, expires=None if expires is None else expiry(expires, now), now=now)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        raise click.UsageError(
            f"{first['input']!r} is not a valid {'key name' if first['loc'][0] == 'id' else 'scope'}: {first['msg']}"
        ) from error
    with _changing(path) as file:
        if any(item.id == key_id for item in file.entries):
            raise Failure(
                f"a key {key_id} already exists in {path}",
                f"Choose another name, or revoke it: podbook keys revoke --file {path} {key_id}",
            )
        file.entries.append(entry)
    click.echo(f"Created key {key_id} in {path}. It is shown this once:", err=True)
    click.echo(plain)


@keys.command("import")
@click.argument("database", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option(
    "--scope", "scopes", multiple=True, required=True, metavar="SCOPE", help="What the imported keys may do; may be repeated."
)
@click.option("--prefix", default="imported", metavar="NAME", help="The keys are named NAME-1, NAME-2 and so on.  [imported]")
@click.option("--table", default="api_keys", metavar="NAME", help="The table that holds them.  [api_keys]")
@click.option("--column", default="key", metavar="NAME", help="The column that holds them in plain text.  [key]")
@_file_option
def import_(*, database: Path, scopes: tuple[str, ...], prefix: str, table: str, column: str, path: Path) -> None:
    """Add the keys of an SQLite DATABASE that holds them in plain text, so that their owners need no new ones.

    Keys that are in the file already are left as they are. Keys of fewer than 16 characters are not imported: a hash of such a key can be
    searched.
    """
    now = datetime.now(UTC).replace(microsecond=0)
    found = _stored_keys(database, table, column)
    with _changing(path) as file:
        known, names = {item.hash for item in file.entries}, {item.id for item in file.entries}
        added = 0
        for row, plain in enumerate(found, 1):
            if not isinstance(plain, str) or len(plain) < _SHORTEST:
                click.echo(f"Not imported: row {row} holds fewer than {_SHORTEST} characters", err=True)
                continue
            if key_hash(plain) in known:
                continue
            name = next(text for number in count(1) if (text := f"{prefix}-{number}") not in names)
            try:
                entry = KeyEntry(id=name, hash=key_hash(plain), scopes=list(scopes), created=now)
            except ValidationError as error:
                raise Failure(problems(error)) from error
            file.entries.append(entry)
            known.add(entry.hash)
            names.add(name)
            added += 1
    click.echo(f"Imported {added} keys into {path}")


def _stored_keys(database: Path, table: str, column: str) -> list[object]:
    """What a column of a database holds, in the order of its rows."""
    quoted, place = ('"' + name.replace('"', '""') + '"' for name in (column, table))
    try:
        with contextlib.closing(sqlite3.connect(f"{database.absolute().as_uri()}?mode=ro", uri=True)) as connection:
            # Qualified, since SQLite takes an unknown name in double quotes for a text.
            return [value for (value,) in connection.execute(f"SELECT {place}.{quoted} FROM {place} ORDER BY rowid")]  # noqa: S608 - quoted above
    except sqlite3.Error as error:
        raise Failure(f"the keys of {database} cannot be read: {error}", "Name table and column: --table, --column") from error


@keys.command("list")
@_file_option
def list_(path: Path) -> None:
    """List the keys of the file: names, scopes and times."""
    now = datetime.now(UTC)
    rows = [
        [
            item.id,
            " ".join(item.scopes),
            _day(item.created),
            _day(item.expires) + (" (expired)" if item.expires and item.expires <= now else ""),
        ]
        for item in _read(path)
    ]
    click.echo(table(("ID", "SCOPES", "CREATED", "EXPIRES"), rows))


@keys.command()
@click.argument("key_id", metavar="NAME")
@_file_option
def revoke(key_id: str, path: Path) -> None:
    """Remove a key from the file; it stops working immediately."""
    with _changing(path) as file:
        left = [item for item in file.entries if item.id != key_id]
        if len(left) == len(file.entries):
            raise Failure(f"there is no key {key_id} in {path}")
        file.entries[:] = left
    click.echo(f"Revoked key {key_id}")
    click.echo(f"Its executions belong to the name {key_id}: a new key with that name would own them all.", err=True)


def expiry(text: str, now: datetime) -> datetime:
    """When a key ends: a span from now (``90d``), or an ISO 8601 date or time (UTC where it names no zone). Pure.

    Raises:
        click.BadParameter: it is neither, or over already.
    """
    if match := _SPAN.fullmatch(text):
        return now + int(match[1]) * _UNITS[match[2]]
    try:
        moment = datetime.fromisoformat(text)
    except ValueError as error:
        raise click.BadParameter(
            f"{text!r} is neither a duration such as 90d nor a time such as 2030-01-31", param_hint="--expires"
        ) from error
    aware = moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)
    if aware <= now:
        raise click.BadParameter(f"{text} is in the past", param_hint="--expires")
    return aware


class _Change:
    """Entries of a file that is being changed."""

    def __init__(self, entries: list[KeyEntry]) -> None:
        self.entries = entries


@contextmanager
def _changing(path: Path) -> Iterator[_Change]:
    """Read the file, let it be changed, and replace it whole; two commands at once wait for one another."""
    path.parent.mkdir(parents=True, exist_ok=True)
    folder = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY)
    try:
        fcntl.flock(folder, fcntl.LOCK_EX)
        change = _Change(_read(path) if path.exists() else [])
        yield change
        document = KeyFile(keys=change.entries).model_dump(mode="json", exclude_none=True)
        replace_file(path, json.dumps(document, indent=1).encode())
    finally:
        os.close(folder)


def _read(path: Path) -> list[KeyEntry]:
    try:
        return list(KeyFile.model_validate_json(path.read_bytes()).keys)
    except ValidationError as error:
        raise Failure(f"{path} is not a valid keys file: {problems(error)}") from error


def _day(time: datetime | None) -> str:
    return "" if time is None else time.date().isoformat()
