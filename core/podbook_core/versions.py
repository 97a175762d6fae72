"""Versions of a notebook: immutable in the store, named by the digest of what they hold, with one pointer to the current one.

A version is notebook, contract and assets. Its name is the SHA-256 of the canonical JSON that lists their digests, so the same content
is the same version, wherever and whenever it is published.
"""

import io
import json
import tarfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from podbook_core.contract import Contract, read_contract
from podbook_core.digests import digest_json, sha256_hex
from podbook_core.notebook import InvalidNotebookError, inspect_notebook
from podbook_core.store.base import KeyNotFoundError, ObjectStore, PreconditionFailedError
from podbook_core.store.keys import NOTEBOOKS, current_key, notebook_prefix, version_prefix
from podbook_core.store.limits import (
    MAX_CONTRACT_DOCUMENT_BYTES,
    MAX_FOLDERS,
    MAX_POINTER_BYTES,
    MAX_VERSION_MANIFEST_BYTES,
)

__all__ = ["MAX_ASSETS_BYTES", "Asset", "Bundle", "Pointer", "Version", "VersionStore", "build_bundle"]

MAX_ASSETS_BYTES = 200 * 1024 * 1024
_CONFLICTS = 20


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

    @property
    def prefix(self) -> str:
        """Where its files lie in the store."""
        return version_prefix(self.name, self.version)


@dataclass(frozen=True, slots=True)
class Pointer:
    """Which version of a notebook is current. ``etag`` changes with every publication."""

    name: str
    version: str
    etag: str


def build_bundle(name: str, notebook: bytes, contract: Contract | None, assets: Sequence[Asset]) -> Bundle:
    """Put checked parts together. Pure: the same parts give the same bytes and the same version."""
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
    return Bundle(name, digest_json(manifest), notebook, document, tar, manifest, language)


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
        """Store a version without making it the current one; repeatable."""
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
            "published": now.isoformat(timespec="seconds").replace("+00:00", "Z"),
        }
        self._create(prefix + "manifest.json", json.dumps(published, indent=1).encode(), "application/json")

    def point(self, name: str, version: str) -> Pointer:
        """Make a stored version the current one."""
        for _ in range(_CONFLICTS):
            try:
                return self.replace(name, version, known=self.current(name))
            except PreconditionFailedError:
                continue
        raise PreconditionFailedError(f"notebook {name} is being published by too many others at once")

    def replace(self, name: str, version: str, *, known: Pointer | None) -> Pointer:
        """Make a stored version the current one if nobody else has changed that meanwhile.

        Args:
            name: the notebook's name.
            version: a stored version.
            known: the pointer as the caller has read it, None when there was none.

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
        known = self.current(name)
        self._store.delete(current_key(name))
        return known is not None

    def current(self, name: str) -> Pointer | None:
        """Which version is current, None when the notebook is not published."""
        try:
            found = self._store.get(current_key(name), limit=MAX_POINTER_BYTES)
        except KeyNotFoundError:
            return None
        return Pointer(name, str(json.loads(found.data)["version"]), found.info.etag)

    def load(self, name: str, version: str) -> Version | None:
        """A stored version, None when there is none. Versions never change, so callers may keep what they get."""
        prefix = version_prefix(name, version)
        try:
            raw = json.loads(self._store.get(prefix + "manifest.json", limit=MAX_VERSION_MANIFEST_BYTES).data)
            stored = self._store.get(prefix + "contract.json", limit=MAX_CONTRACT_DOCUMENT_BYTES) if raw["contract"] else None
            contract = Contract() if stored is None else read_contract(stored.data)
        except KeyNotFoundError:
            return None
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
            language=raw.get("language"),
        )

    def names(self) -> list[str]:
        """Names of all published notebooks, sorted."""
        # By folder: versions pile up below each name, and a catalogue must not list them all.
        names = self._store.folders(NOTEBOOKS, limit=MAX_FOLDERS)
        return [name for name in names if self._store.list(current_key(name), limit=1) == [current_key(name)]]

    def versions(self, name: str) -> list[str]:
        """All stored versions of a notebook, in no order that means anything."""
        prefix = notebook_prefix(name) + "versions/"
        found = self._store.folders(prefix, limit=MAX_FOLDERS)
        # A version without its manifest was never finished.
        return [item for item in found if self._store.list(f"{prefix}{item}/manifest.json", limit=1)]

    def _create(self, key: str, data: bytes, media_type: str) -> None:
        try:
            self._store.put(key, data, media_type=media_type, if_none_match=True)
        except PreconditionFailedError:
            return  # the same content, by its name
