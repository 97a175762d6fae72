"""``podbook list``, ``get``, ``cancel``, ``rerun`` and ``delete``: executions on the command line."""

import json
import sys
from datetime import UTC, datetime

import click

from podbook.cli.connection import connected
from podbook.cli.failure import printable
from podbook.cli.parameters import parse_labels
from podbook.cli.table import EXECUTION_COLUMNS, execution_rows, table
from podbook.client import Client
from podbook.execution import Execution
from podbook_core.execution.reasons import Phase

__all__ = ["cancel", "delete", "get", "list_", "rerun"]

_ARTIFACTS = ("output", "html", "report", "notebook", "logs")


@click.command("list")
@click.option("--notebook", metavar="NAME", help="Only runs of this notebook.")
@click.option(
    "--phase", type=click.Choice([phase.value for phase in Phase], case_sensitive=False), help="Only those in this phase."
)
@click.option("--label", "labels", multiple=True, metavar="KEY=VALUE", help="Only those with this label; may be repeated.")
@click.option("--limit", type=click.IntRange(1), default=20, show_default=True, help="Maximum number of executions.")
@click.option("--json", "as_json", is_flag=True, help="Print a JSON array of the whole resources.")
@connected
def list_(client: Client, *, notebook: str | None, phase: str | None, labels: tuple[str, ...], limit: int, as_json: bool) -> None:
    """List executions, newest first, running and ended alike."""
    found = list(client.list(notebook=notebook, phase=phase, labels=parse_labels(labels), limit=limit, full=as_json))
    if as_json:
        click.echo(json.dumps([item.document for item in found], ensure_ascii=False, indent=2))
    elif found:
        click.echo(table(EXECUTION_COLUMNS, execution_rows(found, datetime.now(UTC))))
    else:
        click.echo("There are no executions" + (" that match." if notebook or phase or labels else " yet."), err=True)


@click.command()
@click.argument("execution", metavar="ID")
@click.option(
    "-o", "--output", "what", type=click.Choice(("json", *_ARTIFACTS)), help="Print the resource as JSON, or one of its results."
)
@click.option("--json", "as_json", is_flag=True, help="The same as -o json.")
@connected
def get(client: Client, execution: str, what: str | None, as_json: bool) -> None:
    """Show an execution, or print one of its results to stdout."""
    if as_json or what == "json":
        click.echo(json.dumps(client.get(execution).document, ensure_ascii=False, indent=2))
    elif what == "output":
        click.echo(json.dumps(client.output(execution), ensure_ascii=False, indent=2))
    elif what is not None:
        # Byte for byte as it is stored: this goes into files.
        sys.stdout.buffer.write(client.artifact(execution, what))
        sys.stdout.flush()
    else:
        click.echo(summary(client.get(execution)))


@click.command()
@click.argument("executions", metavar="ID...", nargs=-1, required=True)
@connected
def cancel(client: Client, executions: tuple[str, ...]) -> None:
    """Cancel executions; partial results are kept. Ended ones are left unchanged."""
    for execution in executions:
        state = client.cancel(execution)
        click.echo(f"{state.id} had already ended as {state.reason}" if state.finished else f"{state.id} is being cancelled")


@click.command()
@click.argument("execution", metavar="ID")
@click.option("--current", is_flag=True, help="Run the notebook's current version instead of the one that ran.")
@connected
def rerun(client: Client, execution: str, current: bool) -> None:
    """Run an execution's notebook again with the same parameters and files, and print the new execution's id."""
    click.echo(client.rerun(execution, current=current).id)


@click.command()
@click.argument("executions", metavar="ID...", nargs=-1, required=True)
@connected
def delete(client: Client, executions: tuple[str, ...]) -> None:
    """Delete ended executions with all their results, permanently."""
    for execution in executions:
        client.delete(execution)
        click.echo(f"{execution} is gone")


def summary(execution: Execution) -> str:
    """An execution for people. Pure."""
    error, progress = execution.error, execution.progress
    lines = [
        ("Execution", execution.id),
        ("Notebook", execution.notebook),
        ("Version", (execution.version or "")[:12]),
        ("Phase", execution.phase),
        ("Reason", execution.reason),
        ("Message", execution.message),
        (
            "Error",
            "" if error is None else f"{error.ename}: {error.evalue}" + ("" if error.cell is None else f" (cell {error.cell})"),
        ),
        ("Progress", "" if progress is None else f"{progress.completed} of {progress.total} cells"),
        ("Attempts", str(execution.attempts)),
        ("Created", _moment(execution.created)),
        ("Started", _moment(execution.started)),
        ("Ended", _moment(execution.ended)),
        ("Duration", "" if execution.duration is None else f"{execution.duration:.1f} s"),
        ("Parameters", json.dumps(execution.parameters, ensure_ascii=False)),
    ]
    return "\n".join(f"{name + ':':<12}{printable(value)}" for name, value in lines if value)


def _moment(time: datetime | None) -> str:
    return "" if time is None else time.isoformat(sep=" ", timespec="seconds")
