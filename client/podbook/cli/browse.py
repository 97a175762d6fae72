"""``podbook open``: results in the browser, which cannot send keys and so gets a signed link."""

import webbrowser

import click

from podbook.cli.connection import connected
from podbook.cli.failure import Failure
from podbook.client import Client

__all__ = ["open_"]


@click.command("open")
@click.argument("execution", metavar="ID")
@click.option("--report", "artifact", flag_value="report", help="The page without the cells' code.")
@click.option("--html", "artifact", flag_value="html", default=True, help="The whole notebook (default).")
@click.option("--print", "print_only", is_flag=True, help="Print the link instead of opening it; it works for 15 minutes.")
@connected
def open_(client: Client, execution: str, artifact: str, print_only: bool) -> None:
    """Open an execution's HTML in the browser."""
    link = client.link(execution, artifact)
    if print_only:
        click.echo(link)
    elif not webbrowser.open(link):
        raise Failure("no browser could be started", f"Open this link within 15 minutes: {link}")
