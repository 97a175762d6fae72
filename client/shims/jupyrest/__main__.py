"""``python -m jupyrest``: the command line of jupyrest's first generation, for whoever moves over."""

import os
import sys
from pathlib import Path

import click

__all__ = ["main"]


@click.group(help="The commands of jupyrest, carried out by Podbook.")
def main() -> None:
    """``python -m jupyrest``."""


@main.group(help="Workers.")
def worker() -> None:
    """``python -m jupyrest worker``."""


@worker.command(help="Start a worker that speaks http (or grpc).")
@click.argument("protocol", type=click.Choice(["http", "grpc"]))
@click.option(
    "--notebooks-dir", type=click.Path(exists=True, file_okay=False, path_type=Path), default=Path(), help="Folder of notebooks."
)
@click.option("--port", type=click.IntRange(0, 65535), help="Port to listen on.  [http: 5050]")
@click.option("--fluentd", is_flag=True, help="Accepted, and without effect: logs go to standard error.")
def start(protocol: str, notebooks_dir: Path, port: int | None, *, fluentd: bool) -> None:
    """``python -m jupyrest worker start``."""
    from podbook.cli.main import main as podbook  # noqa: PLC0415 - it imports the server

    if protocol == "grpc":
        raise click.ClickException("Podbook does not speak gRPC; start http, which runs the same notebooks")
    if fluentd:
        click.echo("jupyrest: --fluentd has no effect here; logs go to standard error", err=True)
    folder = os.path.relpath(notebooks_dir)
    sys.argv = ["podbook", "serve", "--notebooks-dir", folder, "--port", str(5050 if port is None else port)]
    sys.exit(podbook())


if __name__ == "__main__":
    main(prog_name="python -m jupyrest")
