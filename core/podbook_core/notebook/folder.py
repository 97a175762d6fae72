"""A notebook on disk with all that belongs to it: contract beside it, models, assets. Read for publishing and by the notebooks folder.

Everything is read from below one folder: a symbolic link that leads out of it is refused, so that publishing a folder never takes
along what is not in it.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from podbook_core.notebook.contract import MAX_CONTRACT_BYTES, Contract, ContractError, parse_contract
from podbook_core.notebook.file import MAX_NOTEBOOK_BYTES
from podbook_core.notebook.versions import MAX_ASSETS_BYTES, Asset
from podbook_core.text.names import NOTEBOOK_NAME, is_notebook_name, notebook_name_from_path

__all__ = ["MAX_ASSET_FILES", "Source", "SourceError", "find_notebooks", "read_source"]

MAX_ASSET_FILES = 900
"""Most assets one notebook may have: together with notebook, contract and models they fit into one request."""


class SourceError(Exception):
    """A notebook that cannot be read as it lies on disk.

    Attributes:
        place: which file, relative to the folder, or place in the contract.
        problem: what is wrong there, and what would be right.
    """

    def __init__(self, place: str, problem: str) -> None:
        super().__init__(f"{place}: {problem}")
        self.place = place
        self.problem = problem


@dataclass(frozen=True, slots=True)
class Source:
    """What lies on disk for one notebook.

    ``contract_file`` and ``models`` are the bytes of the files, for sending them on; ``contract`` is what they mean.
    """

    name: str
    notebook: bytes
    contract: Contract | None
    contract_file: bytes | None
    models: Mapping[str, bytes]
    """Schema files behind ``nbschema://<name>`` that the contract uses, by name."""
    assets: tuple[Asset, ...]
    """Sorted by path, relative to the notebook's own folder."""
    files: tuple[Path, ...]
    """Every file that was read: to watch the notebook, watch these."""


def find_notebooks(folder: Path) -> list[Path]:
    """The notebook files below a folder, sorted; hidden files and folders (``.ipynb_checkpoints``) are skipped."""
    return sorted(
        path
        for path in folder.rglob("*.ipynb")
        if path.is_file() and not any(part.startswith(".") for part in path.relative_to(folder).parts)
    )


def read_source(folder: Path, path: Path, *, name: str | None = None) -> Source:
    """Read a notebook and what belongs to it.

    Args:
        folder: the notebooks folder; nothing outside of it is read. Models lie in ``models/`` beside the notebook or in this folder.
        path: the notebook file below it.
        name: what to call it; derived from the path when absent (``sub/nested.ipynb`` is ``sub.nested``).

    Raises:
        SourceError: a file is missing, unreadable, too large or outside of the folder, a glob finds nothing, or the contract or the
            name is not valid.
    """
    reader = _Reader(folder, path)
    chosen = name if name is not None else notebook_name_from_path(reader.relative(path))
    if not is_notebook_name(chosen):
        raise SourceError(
            reader.relative(path), f"{chosen!r} is not a valid notebook name; names match {NOTEBOOK_NAME} (letters, digits, . _ -)"
        )
    notebook = reader.read(path, MAX_NOTEBOOK_BYTES)
    config = path.with_name(path.name.removesuffix(".ipynb") + ".config.json")
    contract_file = reader.read(config, MAX_CONTRACT_BYTES) if config.exists() or config.is_symlink() else None
    contract = None
    if contract_file is not None:
        try:
            contract = parse_contract(contract_file, models=reader.model)
        except ContractError as error:
            raise SourceError(reader.relative(config), str(error)) from error
    assets = reader.assets(contract.assets) if contract is not None else ()
    return Source(chosen, notebook, contract, contract_file, dict(reader.models), assets, tuple(reader.files))


class _Reader:
    """Reads files below a folder, and remembers which."""

    def __init__(self, folder: Path, path: Path) -> None:
        self._folder = folder
        self._root = folder.resolve()
        self._home = path.parent
        self.files: list[Path] = []
        self.models: dict[str, bytes] = {}

    def relative(self, path: Path) -> str:
        """How a file is called in messages: never by a path of the machine."""
        return path.relative_to(self._folder).as_posix() if path.is_relative_to(self._folder) else path.name

    def read(self, path: Path, limit: int) -> bytes:
        """A file's content, at most ``limit`` bytes."""
        if not path.resolve().is_relative_to(self._root):
            raise SourceError(self.relative(path), "points outside the notebooks folder; put the file itself there")
        self.files.append(path)
        try:
            if not path.is_file():
                raise SourceError(self.relative(path), "is not a file" if path.exists() else "does not exist")
            with path.open("rb") as file:
                data = file.read(limit + 1)
        except OSError as error:
            raise SourceError(self.relative(path), f"cannot be read: {error.strerror or error}") from error
        if len(data) > limit:
            raise SourceError(self.relative(path), f"is larger than the {limit} bytes allowed")
        return data

    def model(self, name: str) -> bytes | None:
        """The schema file behind ``nbschema://<name>``."""
        for folder in (self._home, self._folder):
            path = folder / "models" / f"{name}.json"
            if path.is_file():
                self.models[name] = self.read(path, MAX_CONTRACT_BYTES)
                return self.models[name]
        return None

    def assets(self, globs: tuple[str, ...]) -> tuple[Asset, ...]:
        """The files the contract's globs find, each once."""
        found: dict[str, Asset] = {}
        left = MAX_ASSETS_BYTES
        for glob in globs:
            paths = list(self._matches(glob))
            if not paths:
                raise SourceError(glob, "this glob of the contract's assets matches no file beside the notebook")
            for path in paths:
                name = path.relative_to(self._home).as_posix()
                if name in found:
                    continue
                data = self.read(path, left)
                left -= len(data)
                found[name] = Asset(name, data)
                if len(found) > MAX_ASSET_FILES:
                    raise SourceError(glob, f"matches more than the {MAX_ASSET_FILES} files allowed")
        return tuple(found[name] for name in sorted(found))

    def _matches(self, glob: str) -> Iterator[Path]:
        # Up to Python 3.12 a closing ** finds folders only, from 3.13 on files as well: files are meant, everywhere.
        pattern = f"{glob}/*" if glob.endswith("**") else glob
        try:
            paths = sorted(self._home.glob(pattern))
        except (ValueError, NotImplementedError) as error:
            raise SourceError(glob, f"is not a valid glob: {error}") from error
        for path in paths:
            hidden = any(part.startswith(".") for part in path.relative_to(self._home).parts)
            if path.is_file() and not hidden:
                yield path
