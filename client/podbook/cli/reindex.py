"""``podbook reindex``: a data directory set right from its records."""

from pathlib import Path

import click

from podbook.cli.failure import Failure
from podbook_core.store.base import StoreUnavailableError
from podbook_core.store.directory import DirectoryStore
from podbook_core.upkeep.reindex import rebuild_index

__all__ = ["reindex"]


@click.command()
@click.option(
    "--data-dir",
    type=click.Path(path_type=Path),
    default=Path(".podbook"),
    show_default=True,
    metavar="DIR",
    help="Folder with executions and results, as given to serve.",
)
def reindex(data_dir: Path) -> int:
    """Rebuild the lists from the records and pin copied results again, after a restore or damage.

    Lists every result that is missing or differs from its record. Safe while a server runs on the same folder. On
    Kubernetes: python -m podbook_operator.reindex.
    """
    if not (data_dir / "store").is_dir():
        raise Failure(f"{data_dir} is not a data directory of podbook serve: it has no folder named store")
    try:
        rebuilt = rebuild_index(DirectoryStore(data_dir / "store"), lambda line: click.echo(line, err=True))
    except StoreUnavailableError as error:
        raise Failure(str(error)) from error
    click.echo(str(rebuilt))
    return 0
