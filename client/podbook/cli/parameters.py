"""Parameters and files as they are typed: ``name=value``, ``@file.json``, ``name=path``. Pure but for reading the files named."""

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import click

from podbook_core.text import strict_json
from podbook_core.text.strict_json import InvalidJsonError

__all__ = ["parse_inputs", "parse_labels", "parse_parameters", "parse_value"]


def parse_parameters(given: Iterable[str]) -> dict[str, Any]:
    """Parameters from ``-p`` options, later ones winning.

    Raises:
        click.BadParameter: with what would be right.
    """
    parameters: dict[str, Any] = {}
    for text in given:
        if text.startswith("@"):
            parameters.update(_file(Path(text[1:])))
            continue
        name, equals, value = text.partition("=")
        if not equals or not name:
            raise click.BadParameter(f"{text!r} is not NAME=VALUE or @FILE.json", param_hint="-p")
        parameters[name] = parse_value(value)
    return parameters


def parse_value(text: str) -> Any:
    """A value: JSON where it is JSON (``3``, ``true``, ``[1, 2]``, ``"007"``), else the text itself."""
    try:
        return strict_json.parse(text, limit=len(text), what="the value")
    except InvalidJsonError:
        return text


def parse_inputs(given: Iterable[str]) -> dict[str, Path]:
    """Input files from ``--input NAME=PATH`` options.

    Raises:
        click.BadParameter: with what would be right.
    """
    files: dict[str, Path] = {}
    for text in given:
        name, equals, path = text.partition("=")
        if not equals or not name or not path:
            raise click.BadParameter(f"{text!r} is not NAME=PATH", param_hint="--input")
        if name in ("parameters", "options"):
            raise click.BadParameter(f"an input file must not be called {name}", param_hint="--input")
        if not Path(path).is_file():
            raise click.BadParameter(f"{path} does not exist or is not a file", param_hint="--input")
        files[name] = Path(path)
    return files


def parse_labels(given: Iterable[str]) -> dict[str, str]:
    """Labels from ``--label KEY=VALUE`` options.

    Raises:
        click.BadParameter: with what would be right.
    """
    labels: dict[str, str] = {}
    for text in given:
        key, equals, value = text.partition("=")
        if not equals or not key:
            raise click.BadParameter(f"{text!r} is not KEY=VALUE", param_hint="--label")
        labels[key] = value
    return labels


def _file(path: Path) -> dict[str, Any]:
    try:
        data = path.read_bytes()
        value = strict_json.parse(data, limit=len(data), what=str(path))  # the server says what is too large for it
    except OSError as error:
        raise click.BadParameter(f"{path} cannot be read: {error.strerror}", param_hint="-p") from error
    except InvalidJsonError as error:
        raise click.BadParameter(str(error), param_hint="-p") from error
    if not isinstance(value, dict):
        raise click.BadParameter(f"{path} must contain a JSON object of parameters", param_hint="-p")
    return value
