"""Entry point of the ``podbook`` command. Exit codes: see :mod:`podbook.cli.failure`."""

import sys

__all__ = ["main"]


def main() -> None:
    """Run the command line and exit."""
    try:
        from podbook.cli.group import run_command_line  # noqa: PLC0415 - imported here to say what is missing
    except ModuleNotFoundError as error:
        if error.name != "click":
            raise
        sys.exit("Error: the podbook command needs the package click. Install it: pip install 'podbook[client]'")
    sys.exit(run_command_line(sys.argv[1:]))
