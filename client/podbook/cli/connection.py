"""What every command shares that talks to a server: its options, its client, and how its errors are shown."""

from collections.abc import Callable
from functools import wraps
from pathlib import Path
from typing import Any, Concatenate

import click

from podbook.cli.failure import Failure, failure_from
from podbook.client import Client
from podbook.errors import PodbookError
from podbook_core.notebook.folder import SourceError

__all__ = ["connected"]


def connected(command: Callable[Concatenate[Client, ...], None]) -> Callable[..., None]:
    """Give a command ``--url`` and ``--api-key-file``, call it with a client, and show the client's errors as one line."""

    @click.option("--url", metavar="URL", help="Address of the server.  [PODBOOK_URL, else http://127.0.0.1:8000]")
    @click.option(
        "--api-key-file",
        type=click.Path(dir_okay=False, path_type=Path),
        help="File that contains the API key and nothing else.  [the key in PODBOOK_API_KEY]",
    )
    @wraps(command)
    def run(*args: Any, url: str | None, api_key_file: Path | None, **kwargs: Any) -> None:
        key = None if api_key_file is None else _key(api_key_file)
        try:
            client = Client(url, key)
        except ValueError as error:
            raise click.UsageError(str(error)) from error
        try:
            with client:
                command(client, *args, **kwargs)
        except (PodbookError, SourceError) as error:
            raise failure_from(error) from error

    return run


def _key(path: Path) -> str:
    try:
        key = path.read_text(encoding="utf-8").strip()
    except UnicodeDecodeError as error:
        raise Failure(f"{path} does not contain an API key") from error
    if not key or not key.isascii() or any(character.isspace() for character in key):
        raise Failure(f"{path} must contain one API key and nothing else")
    return key
