"""The notebook that is served: read from its file, its cells by what they are for, its kernels started."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from podbook_api.workers.pool import SetUpError, WorkerPool
from podbook_core.http_notebook.annotations import HttpCells, comment_prefix, read_cells, read_swagger_cells
from podbook_core.http_notebook.messages import Start
from podbook_core.http_notebook.routes import Routes
from podbook_core.notebook.file import MAX_NOTEBOOK_BYTES, InvalidNotebookError, inspect_notebook

__all__ = ["Seed", "SeedError", "SeedOptions", "find_seeds", "read_seed", "started"]


class SeedError(Exception):
    """A notebook that cannot be served. The message says which, and why."""


@dataclass(frozen=True, slots=True)
class SeedOptions:
    """How notebooks are read and run."""

    swagger: bool = False
    """Whether a Swagger document in a Markdown cell says what there is."""
    prefixes: Mapping[str, str] | None = None
    """What begins a comment, by language."""
    force_kernel: str = ""
    default_kernel: str = ""
    kernels: int = 1


@dataclass(frozen=True, slots=True)
class Seed:
    """A notebook as it is served."""

    path: Path
    name: str
    """Of the file, without what follows its first dot."""
    cells: HttpCells
    routes: Routes
    language: str
    pool: WorkerPool


def find_seeds(path: Path) -> dict[str, Path]:
    """The notebooks to serve, by the path they are served below: one file at the root, or those of a folder below their names.

    Raises:
        SeedError: there is none.
    """
    if path.is_dir():
        found = {
            "/" + item.relative_to(path).as_posix().removesuffix(".ipynb"): item
            for item in sorted(path.rglob("*.ipynb"))
            if not any(part.startswith(".") for part in item.relative_to(path).parts)
        }
        if not found:
            raise SeedError(f"{path} holds no notebooks")
        return found
    if not path.is_file():
        raise SeedError(f"{path} does not exist")
    return {"": path}


def read_seed(path: Path, options: SeedOptions) -> Seed:
    """Read a notebook. Its kernels are not started yet.

    Raises:
        SeedError: it cannot be read, or no cell of it answers anything.
    """
    try:
        if path.stat().st_size > MAX_NOTEBOOK_BYTES:
            raise SeedError(f"{path} is larger than the {MAX_NOTEBOOK_BYTES} bytes allowed")
        data = path.read_bytes()
        info = inspect_notebook(data)
        notebook = json.loads(data)
    except OSError as error:
        raise SeedError(f"{path} cannot be read: {error.strerror or error}") from error
    except (InvalidNotebookError, ValueError) as error:
        raise SeedError(f"{path} is not a notebook that can be served: {error}") from error
    language = _language(notebook)
    prefix = comment_prefix(language, options.prefixes or {"": "#", "scala": "//"})
    sources = [(str(cell.get("cell_type")), _source(cell.get("source"))) for cell in notebook["cells"]]
    cells = (
        read_swagger_cells(sources, prefix)
        if options.swagger
        else read_cells([text for kind, text in sources if kind == "code"], prefix)
    )
    if not cells.endpoints:
        raise SeedError(
            f"No endpoints were discovered in {path}. Check your notebook to make sure your cells are annotated correctly."
        )
    kernel = options.force_kernel or info.kernel or options.default_kernel or None
    # Of Python notebooks a kernel that is not there is passed over, but not where it was asked for by name.
    spoken = "" if options.force_kernel else info.language or language or "python"
    start = Start(kernel, spoken, str(Path.cwd()), cells.set_up, environment={"KERNEL_GATEWAY": "1"})
    name = path.name.partition(".")[0] or path.name
    return Seed(path, name, cells, Routes(cells.endpoints), language, WorkerPool(start, size=options.kernels))


async def started(path: Path, options: SeedOptions) -> Seed:
    """Read a notebook and make its kernels ready.

    Raises:
        SeedError: it cannot be served.
    """
    seed = read_seed(path, options)
    try:
        await seed.pool.open()
    except SetUpError as error:
        raise SeedError(f"Error seeding kernel memory for {path}: {error}") from error
    return seed


def _language(notebook: Mapping[str, Any]) -> str:
    info = notebook.get("metadata", {}).get("language_info")
    name = info.get("name") if isinstance(info, dict) else None
    return name if isinstance(name, str) else ""


def _source(value: Any) -> str:
    if isinstance(value, Sequence) and not isinstance(value, str):
        return "".join(item for item in value if isinstance(item, str))
    return value if isinstance(value, str) else ""
