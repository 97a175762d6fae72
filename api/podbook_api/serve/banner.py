"""What ``podbook serve`` says at its start. Pure."""

import json
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from podbook_core.schema.examples import example_parameters

__all__ = ["Listed", "banner"]


@dataclass(frozen=True, slots=True)
class Listed:
    """A notebook as the banner shows it."""

    name: str
    title: str | None = None
    problem: str | None = None
    """Why it is broken; None when it is ready."""
    input: Mapping[str, Any] | bool | None = None
    """JSON Schema of its parameters."""


def banner(
    url: str,
    notebooks: Sequence[Listed],
    *,
    folder: str | None,
    data_dir: str,
    max_concurrent: int,
    keys_required: bool,
    anonymous_everywhere: bool,
) -> str:
    """The whole text.

    Args:
        url: where the server is reached, without a slash at the end.
        notebooks: what is published or broken, in the order to show.
        folder: the notebooks folder as the person wrote it; None without one.
        data_dir: the data directory as the person wrote it.
        max_concurrent: how many runs work at once.
        keys_required: callers need a key.
        anonymous_everywhere: callers without a key are served on an address others may reach.
    """
    lines = [
        "",
        f"  Podbook serves notebooks at {url}",
        "",
        f"    API             {url}/v1/notebooks",
        f"    documentation   {url}/docs",
        f"    data            {data_dir} ({max_concurrent} run{'' if max_concurrent == 1 else 's'} at a time, others wait)",
        "",
        *_notebooks(notebooks, folder),
    ]
    ready = [item for item in notebooks if item.problem is None]
    if ready:
        lines += ["  Try:", "", f"    {_curl(url, _first_with_example(ready), keys_required)}", ""]
    lines += [
        "  Runs are separate processes on this machine and not isolated: a notebook can do whatever you can, with your files,",
        "  your network and your environment, and with the results of other runs. For a pod of its own per run, use Kubernetes.",
    ]
    if anonymous_everywhere:
        lines += ["  Callers need no key (--allow-anonymous): anyone who can reach this address can run code as you."]
    elif not keys_required:
        lines += ["  Without --api-keys callers need no key, and only this machine is served."]
    return "\n".join([*lines, ""])


def _notebooks(notebooks: Sequence[Listed], folder: str | None) -> list[str]:
    where = "" if folder is None else f" in {folder}"
    if not notebooks:
        return [f"  No notebooks{where} yet; a notebook is served as soon as its file appears.", ""]
    width = max(len(item.name) for item in notebooks)
    lines = [f"  Notebooks{where}:", ""]
    for item in notebooks:
        if item.problem is None:
            lines.append(f"    ready    {item.name:<{width}}   {item.title or ''}".rstrip())
        else:
            lines.append(f"    BROKEN   {item.name:<{width}}   {item.problem}")
    return [*lines, ""]


def _first_with_example(ready: Sequence[Listed]) -> Listed:
    return next((item for item in ready if isinstance(item.input, Mapping)), ready[0])


def _curl(url: str, notebook: Listed, keys_required: bool) -> str:
    body = json.dumps(example_parameters(notebook.input), ensure_ascii=False)
    key = ' -H "Authorization: Bearer $PODBOOK_API_KEY"' if keys_required else ""
    return f"curl {url}/v1/run/{notebook.name}{key} -H 'Content-Type: application/json' -d {shlex.quote(body)}"
