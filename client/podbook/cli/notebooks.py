"""``podbook notebooks``, ``publish`` and ``unpublish``: the catalogue on the command line."""

import json
from pathlib import Path

import click

from podbook.cli.connection import connected
from podbook.cli.failure import Failure, failure_from
from podbook.cli.table import table
from podbook.client import Client
from podbook.errors import InvalidRequestError
from podbook_core.notebook.folder import SourceError, find_notebooks

__all__ = ["notebooks", "publish", "unpublish"]


@click.command()
@click.option("--json", "as_json", is_flag=True, help="Print a JSON array of the whole resources, with the contracts.")
@connected
def notebooks(client: Client, as_json: bool) -> None:
    """List the published notebooks; broken ones with the reason."""
    found = client.notebooks()
    if as_json:
        click.echo(json.dumps([item.document for item in found], ensure_ascii=False, indent=2))
    elif found:
        rows = [[item.name, item.status, (item.version or "")[:12], item.message or item.title or ""] for item in found]
        click.echo(table(("NAME", "STATUS", "VERSION", "TITLE"), rows))
    else:
        click.echo("No notebooks are published; `podbook publish PATH` publishes one.", err=True)


@click.command()
@click.argument("path", type=click.Path(exists=True, path_type=Path))
@click.option("--name", help="Name to publish a single notebook under.  [the file's name without .ipynb]")
@connected
def publish(client: Client, path: Path, name: str | None) -> None:
    """Publish the notebook PATH, or every notebook below the folder PATH.

    Includes the contract NAME.config.json next to the notebook, the models it uses and the assets that its globs match.
    """
    if path.is_dir():
        if name is not None:
            raise click.UsageError("--name is for a single notebook; PATH is a folder")
        _publish_folder(client, path)
    else:
        _report(client, path, name=name, folder=None)


def _publish_folder(client: Client, folder: Path) -> None:
    paths = find_notebooks(folder)
    if not paths:
        raise Failure(f"there are no notebooks (*.ipynb) in {folder}")
    refused = 0
    for path in paths:
        try:
            _report(client, path, name=None, folder=folder)
        except (SourceError, InvalidRequestError) as error:  # one notebook's fault keeps no other from being published
            click.echo(f"{path.relative_to(folder)}:", err=True)
            failure_from(error).show()
            refused += 1
    if refused:
        raise Failure(f"{refused} of {len(paths)} notebooks could not be published")


def _report(client: Client, path: Path, *, name: str | None, folder: Path | None) -> None:
    published = client.publish(path, name=name, folder=folder)
    word = "Published" if published.created else "Updated"
    click.echo(f"{word} {published.name} (version {published.version[:12]})")


@click.command()
@click.argument("names", metavar="NAME...", nargs=-1, required=True)
@connected
def unpublish(client: Client, names: tuple[str, ...]) -> None:
    """Remove notebooks from the list. Their executions and results are kept."""
    for name in names:
        client.unpublish(name)
        click.echo(f"{name} is no longer published")
