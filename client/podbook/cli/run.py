"""``podbook run``: a notebook as a command."""

import json
import sys
from pathlib import Path, PurePosixPath

import click

from podbook.cli.connection import connected
from podbook.cli.failure import INTERRUPTED, Failure, failure_from
from podbook.cli.parameters import parse_inputs, parse_labels, parse_parameters
from podbook.cli.progress import LiveView, PlainView, SilentView, View
from podbook.client import Client
from podbook.errors import NotFoundError, PodbookError
from podbook.execution import Execution

__all__ = ["run", "safe_target"]


@click.command(
    epilog="Exit code: 0 succeeded, 10 a cell failed, 11 kernel died, 12 out of memory, 13 timed out, 14-18 notebook, parameters or "
    "output not valid, 20 storage failed, 30 cancelled, 130 interrupted, 2 wrong command line, 1 any other error."
)
@click.argument("notebook")
@click.option(
    "-p",
    "--parameter",
    "given",
    multiple=True,
    metavar="NAME=VALUE|@FILE.json",
    help="A parameter (the value is read as JSON if it is valid JSON, else as a string), or a file of them; may be repeated.",
)
@click.option("--input", "inputs", multiple=True, metavar="NAME=PATH", help="An input file; may be repeated.")
@click.option("--label", "labels", multiple=True, metavar="KEY=VALUE", help="A label to find the execution by; may be repeated.")
@click.option("--profile", help="Where to run: one of the profiles offered by the administrator.")
@click.option("--timeout", "timeout_seconds", type=click.IntRange(1), metavar="SECONDS", help="Maximum run time.")
@click.option("--idempotency-key", help="A request with the same key never runs twice.")
@click.option("--wait/--no-wait", default=True, help="Wait for the end (default), or print the execution's id and return.")
@click.option("--cancel-on-interrupt", is_flag=True, help="Cancel the execution on Ctrl-C instead of letting it continue.")
@click.option(
    "--html",
    type=click.Path(dir_okay=False, path_type=Path),
    metavar="FILE",
    help="Write the notebook's HTML, also that of a failed run.",
)
@click.option(
    "--save-files",
    type=click.Path(file_okay=False, path_type=Path),
    metavar="DIR",
    help="Write the files the notebook published to a folder.",
)
@click.option("--json", "as_json", is_flag=True, help="Print only the output, as JSON on one line.")
@connected
def run(
    client: Client,
    notebook: str,
    *,
    given: tuple[str, ...],
    inputs: tuple[str, ...],
    labels: tuple[str, ...],
    profile: str | None,
    timeout_seconds: int | None,
    idempotency_key: str | None,
    wait: bool,
    cancel_on_interrupt: bool,
    html: Path | None,
    save_files: Path | None,
    as_json: bool,
) -> None:
    """Run NOTEBOOK and print its output as JSON on stdout; progress goes to stderr."""
    if not wait and (html is not None or save_files is not None):
        raise click.UsageError("--html and --save-files need the run to end: omit --no-wait")
    if html is not None and not html.absolute().parent.is_dir():
        raise click.BadParameter(f"{html.parent} is not a folder", param_hint="--html")
    execution = client.submit(
        notebook,
        parse_parameters(given),
        files=parse_inputs(inputs),
        profile=profile,
        timeout_seconds=timeout_seconds,
        labels=parse_labels(labels),
        idempotency_key=idempotency_key,
    )
    if not wait:
        click.echo(execution.id)
        return
    try:
        execution = _watch(client, execution, _view(as_json))
    except KeyboardInterrupt:
        raise _interrupted(client, execution, cancel=cancel_on_interrupt) from None
    _keep_html(client, execution, html)
    if not execution.succeeded:
        failure = failure_from(execution.failure())
        failure.advice = f"{failure.advice}\nSee it: podbook open {execution.id}".strip()
        raise failure
    if save_files is not None:
        _keep_files(client, execution, save_files)
    click.echo(json.dumps(client.output(execution.id), ensure_ascii=False, indent=None if as_json else 2))


def _view(as_json: bool) -> View:
    if as_json:
        return SilentView()
    return LiveView() if sys.stderr.isatty() else PlainView()


def _watch(client: Client, execution: Execution, view: View) -> Execution:
    if not isinstance(view, SilentView):
        click.echo(f"Execution {execution.id}", err=True)
    with view:
        view.show(execution)
        for event in client.events(execution.id):
            execution = execution.after(event)
            view.show(execution)
        final = client.get(execution.id)
        view.show(final)
    return final


def _interrupted(client: Client, execution: Execution, *, cancel: bool) -> Failure:
    if not cancel:
        advice = f"Follow it: podbook logs --follow {execution.id}   Stop it: podbook cancel {execution.id}"
        return Failure(f"interrupted; execution {execution.id} continues", advice, INTERRUPTED)
    try:
        client.cancel(execution.id)
    except PodbookError as error:
        return Failure(f"interrupted; execution {execution.id} could not be cancelled: {error}", "", INTERRUPTED)
    return Failure(f"interrupted; execution {execution.id} is being cancelled", "", INTERRUPTED)


def _keep_html(client: Client, execution: Execution, target: Path | None) -> None:
    if target is None:
        return
    try:
        client.download(execution.id, "html", target)
    except NotFoundError:
        if execution.succeeded:
            raise
        click.echo(
            "There is no HTML: the run ended before there was anything to render.", err=True
        )  # the failure itself comes next


def _keep_files(client: Client, execution: Execution, folder: Path) -> None:
    for file in client.files(execution.id):
        target = safe_target(folder, file.path)
        target.parent.mkdir(parents=True, exist_ok=True)
        client.download(execution.id, f"files/{file.path}", target)
        click.echo(f"Wrote {target}", err=True)


def safe_target(folder: Path, name: str) -> Path:
    """Where a published file is written: always below the folder, since notebooks choose the names.

    Raises:
        Failure: the name leads out of the folder.
    """
    path = PurePosixPath(name)
    target = folder / path
    unsafe = path.is_absolute() or not path.parts or ".." in path.parts or "\\" in name or "\0" in name
    if unsafe or not target.resolve().is_relative_to(folder.resolve()):
        raise Failure(f"the published file {name!r} would be written outside {folder}; it was skipped")
    return target
