"""``podbook logs``: what the cells printed."""

import re
import sys
import time

import click

from podbook.cli.connection import connected
from podbook.cli.failure import INTERRUPTED, Failure
from podbook.client import Client

__all__ = ["logs", "new_part", "tame"]

_PAUSE = 1.0
"""Seconds between two looks while following; the runner stores the log every few seconds."""
_OVERLAP = 4096
_COLOUR = r"\x1b\[[0-9;:]*m"
_STEERING = re.compile(rf"({_COLOUR})|[\x00-\x08\x0b-\x1f\x7f-\x9f]")


@click.command()
@click.argument("execution", metavar="ID")
@click.option("-f", "--follow", is_flag=True, help="Keep printing until the execution ends.")
@connected
def logs(client: Client, execution: str, follow: bool) -> None:
    """Print what the cells of an execution printed (the last MiB)."""
    seen = ""
    try:
        while True:
            ended = client.get(execution).finished  # asked before the log, so that nothing printed in between is missed
            text = client.logs(execution)
            _write(new_part(seen, text))
            if ended or not follow:
                return
            seen = text
            time.sleep(_PAUSE)
    except KeyboardInterrupt:
        raise Failure(
            f"interrupted; execution {execution} continues", f"Stop it: podbook cancel {execution}", INTERRUPTED
        ) from None


def new_part(seen: str, text: str) -> str:
    """What a log has that was not there before. Pure.

    A log is a window on the last MiB, so its start may have moved on; the end of what was seen is looked for in it.
    """
    if text.startswith(seen):
        return text[len(seen) :]
    tail = seen[-_OVERLAP:]
    at = text.rfind(tail)
    return text if at < 0 else text[at + len(tail) :]


def tame(text: str) -> str:
    """A log for a terminal: colours stay, everything else that steers a terminal goes, since notebooks are not trusted. Pure."""
    return _STEERING.sub(lambda match: match[1] or "", text.replace("\r\n", "\n").replace("\r", "\n"))


def _write(text: str) -> None:
    sys.stdout.write(tame(text) if sys.stdout.isatty() else text)
    sys.stdout.flush()
