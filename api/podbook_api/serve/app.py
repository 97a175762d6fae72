"""The embedded server put together: one directory, one folder of notebooks, one application."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from fastapi import FastAPI

from podbook_api.app import create_app
from podbook_api.auth.keys import Anonymous, InvalidKeysFileError, Keyring, Keys
from podbook_api.auth.links import InvalidSecretError, LinkSigner
from podbook_api.backends.embedded.backend import EmbeddedBackend
from podbook_api.backends.embedded.data_dir import DataDir, DataDirError
from podbook_api.backends.embedded.supervisor import StopReport
from podbook_api.backends.embedded.sweeper import Sweeper
from podbook_api.clock import utc_now
from podbook_api.doors.door import Door
from podbook_api.doors.registry import UnknownDoorError, doors_named
from podbook_api.loopback import is_loopback
from podbook_api.serve.notebooks_folder import NotebooksFolder
from podbook_api.services.context import Catalogue, Context, NoFolder
from podbook_api.settings import ApiSettings
from podbook_core.execution.profiles import ProfilesError, read_profiles_file
from podbook_core.notebook.versions import VersionStore
from podbook_core.schema.validation import ContractValidator
from podbook_core.store.base import StoreUnavailableError
from podbook_core.store.directory import DirectoryStore
from podbook_core.threads import Threads

__all__ = ["Embedded", "SetupError", "build_embedded"]

_FOLDER_THREADS = 2


class SetupError(Exception):
    """The server cannot be started as it was asked to; the message is one line for the person at the terminal."""


@dataclass(frozen=True, slots=True)
class Embedded:
    """An embedded server that is ready to be served. Its owner closes it after the application has ended."""

    app: FastAPI
    backend: EmbeddedBackend
    folder: NotebooksFolder | None
    versions: VersionStore
    data: DataDir
    validator: ContractValidator

    def close(self) -> None:
        """Stop the contract checks and let another server use the data directory."""
        self.validator.close()
        self.data.close()


def build_embedded(
    settings: ApiSettings, *, on_stop: Callable[[StopReport], None] | None = None, doors: Sequence[Door] | None = None
) -> Embedded:
    """Open the data directory, publish the notebooks folder, and put the application together.

    Args:
        settings: of this process.
        on_stop: told at the end what is left for the next start.
        doors: those that are open; None for those that the settings name.

    Raises:
        SetupError: something named in the settings cannot be used, or they would open the server to others by accident.
    """
    keys = _keys(settings)
    folder_path = _folder_path(settings)
    try:
        opened = doors_named(settings.doors, settings.door_root) if doors is None else doors
    except UnknownDoorError as error:
        raise SetupError(str(error)) from error
    try:
        profiles = read_profiles_file(settings.profiles_file)
        data = DataDir(settings.data_dir)
    except (ProfilesError, DataDirError) as error:
        raise SetupError(str(error)) from error
    validator = ContractValidator()
    try:
        store = DirectoryStore(data.store)
        store.check()
        versions = VersionStore(store)
        folder = None
        if folder_path is not None:
            folder = NotebooksFolder(
                folder_path,
                versions=versions,
                validator=validator,
                profiles=profiles,
                state_file=data.folder_file,
                threads=Threads(_FOLDER_THREADS),
                clock=utc_now,
            )
            folder.refresh()
        backend = EmbeddedBackend(
            store=store,
            data=data,
            validator=validator,
            profiles=profiles,
            max_concurrent=settings.max_concurrent,
            max_queued=settings.max_queued,
            on_stop=on_stop,
        )
        if folder is not None:
            backend.accompany(folder)
        backend.accompany(Sweeper(store, data, live=backend.live, retention_days=settings.retention_days, clock=utc_now))
        catalogue: Catalogue = NoFolder() if folder is None else folder
        links = LinkSigner.from_file(settings.link_secret_file or data.link_secret_file, create=settings.link_secret_file is None)
        context = Context(store, backend, validator, profiles, keys, links, settings, catalogue)
        app = create_app(context, opened, local_only=not keys.required and not settings.allow_anonymous)
    except (StoreUnavailableError, InvalidSecretError) as error:
        validator.close()
        data.close()
        raise SetupError(str(error)) from error
    return Embedded(app, backend, folder, versions, data, validator)


def _keys(settings: ApiSettings) -> Keys:
    if settings.keys_file is not None:
        if settings.allow_anonymous:
            raise SetupError("--api-keys and --allow-anonymous are mutually exclusive: callers need a key or they do not")
        try:
            return Keyring(settings.keys_file)
        except InvalidKeysFileError as error:
            raise SetupError(f"{error}; `podbook keys create` creates one") from error
    if not is_loopback(settings.host) and not settings.allow_anonymous:
        raise SetupError(
            f"without keys podbook listens on loopback addresses only, and {settings.host} can be reached from other machines: "
            "give --api-keys FILE (`podbook keys create` creates one), or --allow-anonymous to let everyone run notebooks as you"
        )
    return Anonymous()


def _folder_path(settings: ApiSettings) -> Path | None:
    folder, data = settings.notebooks_dir, settings.data_dir
    if folder is None:
        return None
    if not folder.is_dir():
        raise SetupError(f"the notebooks folder {folder} {'is not a folder' if folder.exists() else 'does not exist'}")
    inside = data.resolve()
    if inside.is_relative_to(folder.resolve()):
        below = inside.relative_to(folder.resolve()).parts
        if not any(part.startswith(".") for part in below):
            raise SetupError(
                f"the data directory {data} is inside the notebooks folder {folder}, so its notebooks would be published as well: "
                "choose another, or one whose name starts with a dot"
            )
    return folder
