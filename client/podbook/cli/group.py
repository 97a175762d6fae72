"""The group of all subcommands. Each is imported when it is used, so that ``podbook --help`` and shell completion are quick."""

import importlib
import os
from collections.abc import Sequence
from dataclasses import dataclass
from types import MappingProxyType

import click
from typing_extensions import override

from podbook.cli.failure import INTERRUPTED, Failure
from podbook_core import __version__

__all__ = ["COMMANDS", "podbook", "run_command_line"]


@dataclass(frozen=True, slots=True)
class Entry:
    """Where a subcommand is, what ``--help`` says of it, and which extra brings what it imports."""

    module: str
    attribute: str
    summary: str
    extra: str = "client"


_EXECUTIONS = "podbook.cli.executions"
COMMANDS = MappingProxyType(
    {
        "serve": Entry("podbook.cli.serve", "serve", "Serve a folder of notebooks as a REST API.", "api,runner"),
        "kernelgateway": Entry(
            "podbook.cli.kernel_gateway",
            "kernelgateway",
            "Serve a notebook's annotated cells, with the Kernel Gateway's options.",
            "api,runner",
        ),
        "run": Entry("podbook.cli.run", "run", "Run a notebook and print its output."),
        "list": Entry(_EXECUTIONS, "list_", "List executions, newest first."),
        "get": Entry(_EXECUTIONS, "get", "Show an execution or one of its results."),
        "logs": Entry("podbook.cli.logs", "logs", "Print what the cells of an execution printed."),
        "open": Entry("podbook.cli.browse", "open_", "Open an execution's HTML in the browser."),
        "cancel": Entry(_EXECUTIONS, "cancel", "Cancel executions; partial results are kept."),
        "rerun": Entry(_EXECUTIONS, "rerun", "Run an execution's notebook again with the same parameters."),
        "delete": Entry(_EXECUTIONS, "delete", "Delete ended executions with all their results."),
        "notebooks": Entry("podbook.cli.notebooks", "notebooks", "List the published notebooks."),
        "publish": Entry("podbook.cli.notebooks", "publish", "Publish a notebook, or every notebook of a folder."),
        "unpublish": Entry("podbook.cli.notebooks", "unpublish", "Unpublish notebooks."),
        "reindex": Entry(
            "podbook.cli.reindex", "reindex", "Rebuild the index of a data directory from its records, after a restore."
        ),
        "keys": Entry("podbook.cli.keys", "keys", "Create, list and revoke API keys in a keys file.", "api"),
    }
)
"""Every subcommand, in the order ``--help`` shows them."""


class LazyGroup(click.Group):
    """A group that knows its subcommands by name and imports the one that is asked for."""

    @override
    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(COMMANDS)

    @override
    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        entry = COMMANDS.get(cmd_name)
        if entry is None:
            return None
        try:
            command: click.Command = getattr(importlib.import_module(entry.module), entry.attribute)
        except ModuleNotFoundError as error:
            if error.name is None or error.name.startswith("podbook"):
                raise
            raise click.ClickException(
                f"`podbook {cmd_name}` needs the package {error.name}. Install it: pip install 'podbook[{entry.extra}]'"
            ) from error
        return command

    @override
    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl([(name, entry.summary) for name, entry in COMMANDS.items()])


@click.group(
    cls=LazyGroup,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110},
    epilog="The server is PODBOOK_URL (default http://127.0.0.1:8000), the key PODBOOK_API_KEY.",
)
@click.version_option(__version__, prog_name="podbook", message="%(prog)s %(version)s")
def podbook() -> None:
    """Notebooks as a REST API: serve them, run them, read their results."""


def run_command_line(arguments: Sequence[str]) -> int:
    """Run the command line; every error has been printed as one clear line when this returns.

    Returns:
        The exit code.
    """
    try:
        result = podbook.main(args=list(arguments), prog_name="podbook", standalone_mode=False)
    except click.ClickException as error:
        error.show()
        return error.code if isinstance(error, Failure) else error.exit_code
    except click.Abort:
        click.echo("Interrupted.", err=True)
        return INTERRUPTED
    except OSError as error:
        where = f"{os.fsdecode(error.filename)}: " if isinstance(error.filename, str | bytes) else ""
        click.echo(f"Error: {where}{error.strerror or error}", err=True)
        return 1
    return result if isinstance(result, int) else 0
