"""``podbook reindex``: the lists of a data directory made anew from its records."""

from pathlib import Path

import click

from podbook.cli.failure import Failure
from podbook_core.reindex import rebuild_index
from podbook_core.store.base import StoreUnavailableError
from podbook_core.store.directory import DirectoryStore

__all__ = ["reindex"]


@click.command()
@click.option(
    "--data-dir",
    type=click.Path(path_type=Path),
    default=Path(".podbook"),
    show_default=True,
    metavar="DIR",
    help="Folder that keeps executions and results, as given to serve.",
)
def reindex(data_dir: Path) -> int:
    """Make the lists anew from the records, after a restore or damage.

    Safe while a server runs on the same folder. On Kubernetes: python -m podbook_operator.reindex.
    """
    if not (data_dir / "store").is_dir():
        raise Failure(f"{data_dir} is no data directory of podbook serve: it has no folder store")
    try:
        indexed, removed = rebuild_index(DirectoryStore(data_dir / "store"))
    except StoreUnavailableError as error:
        raise Failure(str(error)) from error
    click.echo(f"{indexed} records indexed, {removed} entries without a record removed")
    return 0
