"""What a notebook answers to: its name, its path below the notebooks folder, and the ``id`` of its contract. Pure."""

from collections import defaultdict
from collections.abc import Iterable

from podbook_core.notebook.versions import Version
from podbook_core.text.names import is_notebook_name, notebook_name_from_path

__all__ = ["clashing_ids", "name_from_path", "notebook_id", "notebook_path"]


def notebook_path(version: Version) -> str:
    """The path of a notebook without ``.ipynb``: ``sub/nested``. Its name, where it did not come from a folder."""
    return version.name if version.path is None else version.path.removesuffix(".ipynb")


def notebook_id(version: Version) -> str:
    """The ``id`` of a notebook's contract; its path where the contract has none."""
    return version.contract.id or notebook_path(version)


def name_from_path(path: str) -> str | None:
    """The name that a path (``sub/nested``, with or without ``.ipynb``) is published under; None where no notebook can be there."""
    name = notebook_name_from_path(path)
    parts = path.split("/")
    return name if is_notebook_name(name) and all(parts) and not {".", ".."} & set(parts) else None


def clashing_ids(versions: Iterable[Version]) -> dict[str, str]:
    """Notebooks that do not answer to their id, because it means another one, by name, with a sentence that says which.

    A name or path goes before an id, and of several notebooks with one id the first by name has it.
    """
    known = sorted(versions, key=lambda item: item.name)
    places = {place: item.name for item in known for place in (item.name, notebook_path(item))}
    holders: dict[str, list[str]] = defaultdict(list)
    for item in known:
        if item.contract.id is not None:
            holders[item.contract.id].append(item.name)
    found = {}
    for identity, names in holders.items():
        first = places.get(identity, places.get(name_from_path(identity) or "", names[0]))
        found.update(
            {name: f"its id {identity!r} means the notebook {first}; give it another one" for name in names if name != first}
        )
    return found
