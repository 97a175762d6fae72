"""What is sent to publish a notebook: the notebook, its contract, the models it uses, its assets."""

import mimetypes
from pathlib import Path

from podbook.transport import Part
from podbook_core.notebook.folder import Source, read_source

__all__ = ["publication_parts", "read_publication"]


def read_publication(path: Path, *, name: str | None = None, folder: Path | None = None) -> Source:
    """Read a notebook with everything that belongs to it.

    Args:
        path: the ``.ipynb`` file.
        name: name to publish it under; from the path below ``folder`` when absent.
        folder: the notebooks folder; the notebook's own when absent.

    Raises:
        podbook_core.notebook.folder.SourceError: with place and problem.
    """
    return read_source(folder if folder is not None else path.parent, path, name=name)


def publication_parts(source: Source) -> list[Part]:
    """The parts of the ``multipart/form-data`` body of ``PUT /v1/notebooks/{name}``. Pure."""
    parts = [Part("notebook", "notebook.ipynb", source.notebook, "application/x-ipynb+json")]
    if source.contract_file is not None:
        parts.append(Part("contract", "contract.json", source.contract_file, "application/json"))
    parts += [Part("models", f"{name}.json", data, "application/json") for name, data in sorted(source.models.items())]
    parts += [
        Part("assets", asset.path, asset.data, mimetypes.guess_type(asset.path)[0] or "application/octet-stream")
        for asset in source.assets
    ]
    return parts
