"""Versions of a notebook: immutable in the store, named by the digest of what they hold, with one pointer to the current one.

A version is notebook, contract and assets. Its name is the SHA-256 of the canonical JSON that lists their digests, so the same content
is the same version, wherever and whenever it is published.

What is stored may be damaged, or newer than this version of Podbook: readers pass over members they do not know, and what cannot be read
is one :class:`UnreadableVersionError` that says what and why.
"""

import io
import json
import re
import tarfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from podbook_core.notebook.contract import Contract, ContractError, read_contract
from podbook_core.notebook.file import InvalidNotebookError, inspect_notebook
from podbook_core.store.base import KeyNotFoundError, ObjectStore, ObjectTooLargeError, PreconditionFailedError
from podbook_core.store.keys import NOTEBOOKS, current_key, notebook_prefix, version_prefix
from podbook_core.store.limits import (
    MAX_CONTRACT_DOCUMENT_BYTES,
    MAX_FOLDERS,
    MAX_POINTER_BYTES,
    MAX_VERSION_MANIFEST_BYTES,
)
from podbook_core.text.digests import digest_json, sha256_hex
from podbook_core.text.requirements import NewerPodbookError, check_requirements
from podbook_core.text.times import rfc3339

__all__ = ["MAX_ASSETS_BYTES", "Asset", "Bundle", "Pointer", "UnreadableVersionError", "Version", "VersionStore", "build_bundle"]

MAX_ASSETS_BYTES = 200 * 1024 * 1024
_CONFLICTS = 20
_COMPARED = 1024 * 1024
"""Largest file that is read to see whether it is as it should be, before it is published again."""
_VERSION = re.compile(r"[A-Za-z0-9_-]{1,128}")


class UnreadableVersionError(Exception):
    """What is stored of a notebook's version, or of which one is current, cannot be read. The message names the file and says why.

    Attributes:
        newer: whether a newer Podbook can read it; else it is damaged.
    """

    def __init__(self, key: str, problem: str, *, newer: bool = False) -> None:
        super().__init__(f"{key} cannot be read: {problem}")
        self.newer = newer


@dataclass(frozen=True, slots=True)
class Asset:
    """A file that is put into the notebook's working directory at its relative path."""

    path: str
    data: bytes


@dataclass(frozen=True, slots=True)
class Bundle:
    """What is published: the files of one version, and its digest."""

    name: str
    version: str
    notebook: bytes
    contract: bytes | None
    assets: bytes | None
    """An uncompressed tar, the same bytes for the same files."""
    manifest: Mapping[str, Any]
    language: str | None = None
    """Language of the notebook's cells in lower case; None where the file cannot be understood."""
    path: str | None = None
    """Where the file lay below its notebooks folder, with slashes; None where it did not come from one."""


@dataclass(frozen=True, slots=True)
class Version:
    """A version as stored. ``published`` is RFC 3339 in UTC, of its first publication."""

    name: str
    version: str
    published: str
    contract: Contract
    notebook_sha256: str
    contract_sha256: str | None
    assets_sha256: str | None
    asset_paths: tuple[str, ...]
    language: str | None = None
    """Language of the notebook's cells in lower case; None in versions published before 0.2, which did not keep it."""
    path: str | None = None
    """Where the file lay below its notebooks folder, with slashes (``sub/nested.ipynb``); None where that is not known."""

    @property
    def prefix(self) -> str:
        """Where its files lie in the store."""
        return version_prefix(self.name, self.version)


@dataclass(frozen=True, slots=True)
class Pointer:
    """Which version of a notebook is current. ``etag`` changes with every publication; ``version`` is empty where it cannot be read."""

    name: str
    version: str
    etag: str


def build_bundle(
    name: str, notebook: bytes, contract: Contract | None, assets: Sequence[Asset], *, path: str | None = None
) -> Bundle:
    """Put checked parts together. Pure: the same parts give the same bytes and the same version, wherever the file lay."""
    document = None if contract is None else json.dumps(contract.document(), ensure_ascii=False, indent=1, sort_keys=True).encode()
    tar = _tar(assets) if assets else None
    manifest = {
        "notebook": {"sha256": sha256_hex(notebook), "size": len(notebook)},
        "contract": None if document is None else {"sha256": sha256_hex(document), "size": len(document)},
        "assets": None
        if tar is None
        else {
            "sha256": sha256_hex(tar),
            "size": len(tar),
            "files": [{"path": item.path, "size": len(item.data), "sha256": sha256_hex(item.data)} for item in _sorted(assets)],
        },
    }
    try:
        language = inspect_notebook(notebook).language
    except InvalidNotebookError:
        language = None
    return Bundle(name, digest_json(manifest), notebook, document, tar, manifest, language, path)


def _sorted(assets: Sequence[Asset]) -> list[Asset]:
    return sorted(assets, key=lambda item: item.path)


def _tar(assets: Sequence[Asset]) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.PAX_FORMAT) as archive:
        for item in _sorted(assets):
            entry = tarfile.TarInfo(item.path)
            entry.size, entry.mode = len(item.data), 0o644
            archive.addfile(entry, io.BytesIO(item.data))
    return buffer.getvalue()


class VersionStore:
    """Publishes and reads versions. Calls block, and raise the store's errors."""

    def __init__(self, store: ObjectStore) -> None:
        self._store = store

    def publish(self, bundle: Bundle, *, now: datetime) -> Pointer:
        """Store a version and make it the current one; the same version again changes nothing."""
        self.keep(bundle, now=now)
        return self.point(bundle.name, bundle.version)

    def keep(self, bundle: Bundle, *, now: datetime) -> None:
        """Store a version without making it the current one; repeatable. Files of it that are damaged are written again."""
        prefix = version_prefix(bundle.name, bundle.version)
        self._create(prefix + "notebook.ipynb", bundle.notebook, "application/x-ipynb+json")
        if bundle.contract is not None:
            self._create(prefix + "contract.json", bundle.contract, "application/json")
        if bundle.assets is not None:
            self._create(prefix + "assets.tar", bundle.assets, "application/x-tar")
        # The manifest comes last: a version without one was never finished and is not there.
        # Beside the digest, since the notebook says it: the version stays the same.
        published = {
            **bundle.manifest,
            "language": bundle.language,
            **({} if bundle.path is None else {"path": bundle.path}),
            "published": rfc3339(now, milliseconds=False),
        }
        key, data = prefix + "manifest.json", json.dumps(published, indent=1).encode()
        try:
            self._store.put(key, data, media_type="application/json", if_none_match=True)
        except PreconditionFailedError:
            try:
                self._manifest(key)
            except KeyNotFoundError:
                pass  # removed at this very moment, by a sweep
            except UnreadableVersionError as error:
                if not error.newer:
                    self._store.put(key, data, media_type="application/json")

    def point(self, name: str, version: str) -> Pointer:
        """Make a stored version the current one."""
        for _ in range(_CONFLICTS):
            try:
                return self.replace(name, version, known=self.pointer(name))
            except PreconditionFailedError:
                continue
        raise PreconditionFailedError(f"notebook {name} is being published by too many others at once")

    def replace(self, name: str, version: str, *, known: Pointer | None) -> Pointer:
        """Make a stored version the current one unless that was changed meanwhile.

        Args:
            name: the notebook's name.
            version: a stored version.
            known: the pointer as :meth:`pointer` gave it, None when there was none.

        Raises:
            PreconditionFailedError: the pointer is another one by now.
        """
        if known is not None and known.version == version:
            return known
        info = self._store.put(
            current_key(name),
            json.dumps({"version": version}).encode(),
            media_type="application/json",
            if_none_match=known is None,
            if_match=known.etag if known else None,
        )
        return Pointer(name, version, info.etag)

    def unpublish(self, name: str) -> bool:
        """Remove the pointer; versions stay for executions that wait. Returns whether there was one."""
        known = self.pointer(name)
        self._store.delete(current_key(name))
        return known is not None

    def current(self, name: str) -> Pointer | None:
        """Which version is current, None when the notebook is not published.

        Raises:
            UnreadableVersionError: it is published, and what says which version is current cannot be read.
        """
        known = self.pointer(name)
        if known is not None and not known.version:
            raise UnreadableVersionError(
                current_key(name), "it is damaged, or a newer Podbook wrote it; publish the notebook again"
            )
        return known

    def pointer(self, name: str) -> Pointer | None:
        """As :meth:`current`, for those who replace it: one that cannot be read has no version, and is never an error."""
        try:
            found = self._store.get(current_key(name), limit=MAX_POINTER_BYTES)
        except KeyNotFoundError:
            return None
        except ObjectTooLargeError:
            known = self._store.head(current_key(name))
            return None if known is None else Pointer(name, "", known.etag)
        try:
            raw = json.loads(found.data)
            check_requirements(raw)
            version = raw["version"]
            readable = isinstance(version, str) and _VERSION.fullmatch(version) is not None
        except (ValueError, TypeError, KeyError, AttributeError, RecursionError):
            readable, version = False, ""
        return Pointer(name, version if readable else "", found.info.etag)

    def load(self, name: str, version: str) -> Version | None:
        """A stored version, None when there is none. Versions never change, so callers may keep what they get.

        Raises:
            UnreadableVersionError: it is damaged, or a newer Podbook wrote it and it must not be read otherwise.
        """
        prefix = version_prefix(name, version)
        key = prefix + "manifest.json"
        try:
            raw = self._manifest(key)
            key = prefix + "contract.json"
            stored = self._store.get(key, limit=MAX_CONTRACT_DOCUMENT_BYTES) if raw["contract"] else None
            contract = Contract() if stored is None else read_contract(stored.data)
        except KeyNotFoundError:
            return None
        except ContractError as error:
            raise UnreadableVersionError(key, str(error), newer=isinstance(error.__cause__, NewerPodbookError)) from error
        assets = raw["assets"] or {}
        return Version(
            name=name,
            version=version,
            published=raw["published"],
            contract=contract,
            notebook_sha256=raw["notebook"]["sha256"],
            contract_sha256=raw["contract"]["sha256"] if raw["contract"] else None,
            assets_sha256=assets.get("sha256"),
            asset_paths=tuple(item["path"] for item in assets.get("files", ())),
            language=raw["language"] if isinstance(raw.get("language"), str) else None,
            path=raw["path"] if isinstance(raw.get("path"), str) else None,
        )

    def _manifest(self, key: str) -> Mapping[str, Any]:
        """A version's manifest, of which every member that is used has its type.

        Raises:
            KeyNotFoundError: there is none.
            UnreadableVersionError: it cannot be read.
        """
        try:
            raw = json.loads(self._store.get(key, limit=MAX_VERSION_MANIFEST_BYTES).data)
            check_requirements(raw)
            parts = [raw["notebook"], *(raw[part] for part in ("contract", "assets") if raw[part] is not None)]
            texts = [raw["published"], *(part["sha256"] for part in parts)]
            texts.extend(item["path"] for item in (raw["assets"] or {}).get("files", ()))
            datetime.fromisoformat(raw["published"])
        except NewerPodbookError as error:
            raise UnreadableVersionError(key, str(error), newer=True) from error
        except (ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
            raise UnreadableVersionError(key, f"it is damaged ({type(error).__name__}); publish the notebook again") from error
        if not all(isinstance(text, str) for text in texts):
            raise UnreadableVersionError(key, "it is damaged (a member has another type); publish the notebook again")
        return dict(raw)

    def names(self) -> list[str]:
        """Names of all published notebooks, sorted."""
        # By folder: versions pile up below each name, and a catalogue must not list them all.
        names = self._store.folders(NOTEBOOKS, limit=MAX_FOLDERS)
        return [name for name in names if self._store.list(current_key(name), limit=1) == [current_key(name)]]

    def versions(self, name: str) -> list[str]:
        """All stored versions of a notebook, in no order that means anything."""
        # A version without its manifest was never finished.
        return [item for item in self.folders(name) if self._store.list(f"{version_prefix(name, item)}manifest.json", limit=1)]

    def folders(self, name: str) -> list[str]:
        """Versions of a notebook by their folders, those among them that were never finished: :meth:`load` gives None for these."""
        return list(self._store.folders(notebook_prefix(name) + "versions/", limit=MAX_FOLDERS))

    def _create(self, key: str, data: bytes, media_type: str) -> None:
        try:
            self._store.put(key, data, media_type=media_type, if_none_match=True)
        except PreconditionFailedError:
            # The same content, by its name, unless it was damaged since. Of what is large only the size is looked at.
            known = self._store.head(key)
            same = known is not None and known.size == len(data)
            if same and len(data) <= _COMPARED:
                same = self._store.get(key, limit=_COMPARED).data == data
            if not same:
                self._store.put(key, data, media_type=media_type)
