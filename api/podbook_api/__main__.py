"""``python -m podbook_api``: the API of a cluster, configured by the environment. Executions are custom resources, results are in S3."""

import asyncio
import logging
import sys
import threading

import uvicorn
from pydantic import ValidationError
from pydantic_settings import SettingsError

from podbook_api.app import create_app
from podbook_api.auth.keys import Anonymous, InvalidKeysFileError, Keyring, Keys
from podbook_api.auth.links import InvalidSecretError, LinkSigner
from podbook_api.backends.base import BackendUnavailableError
from podbook_api.backends.cluster.backend import KubernetesBackend
from podbook_api.doors.registry import UnknownDoorError, doors_named
from podbook_api.http_server import server_config
from podbook_api.logs import set_up_logging
from podbook_api.services.context import Context, NoFolder
from podbook_api.settings import ApiSettings
from podbook_core.environment import wrong_variables
from podbook_core.execution.profiles import ProfilesError, read_profiles_file
from podbook_core.schema.validation import ContractValidator
from podbook_core.store.base import StoreUnavailableError
from podbook_core.store.s3 import S3Store

__all__ = ["SetupError", "build_context", "main"]

_log = logging.getLogger(__name__)
DRAIN_SECONDS = 20
"""How long open requests may take after SIGTERM; the pod's grace period is longer."""


BUCKET_RETRY_SECONDS = 3.0


class SetupError(Exception):
    """The process cannot be started as it was configured; the message is one line."""


def main() -> int:
    """Serve until stopped. Returns the exit status: 0 after SIGTERM or SIGINT, 2 when it cannot be started as configured."""
    try:
        settings = ApiSettings()
    except (ValidationError, SettingsError) as error:
        sys.stderr.writelines(f"podbook-api: {line}\n" for line in wrong_variables(error))
        return 2
    set_up_logging(settings.log_level)
    try:
        doors = doors_named(settings.doors, settings.door_root)
        context = build_context(settings)
    except (SetupError, UnknownDoorError) as error:
        sys.stderr.write(f"podbook-api: {error}\n")
        return 2
    with context.validator:
        try:
            asyncio.run(KubernetesBackend(settings.namespace).probe())
        except BackendUnavailableError as error:
            sys.stderr.write(f"podbook-api: {error}\n")
            return 2
        server = uvicorn.Server(
            server_config(
                create_app(context, doors),
                settings,
                host=settings.host,
                port=settings.port,
                timeout_graceful_shutdown=DRAIN_SECONDS,
            )
        )
        stopped = threading.Event()
        if isinstance(context.store, S3Store):
            threading.Thread(target=ensure_bucket, args=(context.store, stopped), name="bucket", daemon=True).start()
        try:
            server.run()
        except KeyboardInterrupt:
            return 0
        finally:
            stopped.set()
    return 0 if server.started else 2


def ensure_bucket(store: S3Store, stopped: threading.Event) -> None:
    """Create the bucket where it is missing; in a new cluster the store may come up after us, so this tries until it works.

    Meanwhile requests that need the store get 503.
    """
    said = ""
    while not stopped.is_set():
        try:
            store.ensure_bucket()
        except StoreUnavailableError as error:
            if str(error) != said:
                said = str(error)
                _log.warning("the store is not available yet: %s", said)
            stopped.wait(BUCKET_RETRY_SECONDS)
        else:
            return


def build_context(settings: ApiSettings) -> Context:
    """Put the parts of the cluster's API together. Nothing is connected yet.

    Raises:
        SetupError: something named in the settings is missing or cannot be used.
    """
    if settings.s3 is None:
        raise SetupError("PODBOOK_S3__BUCKET is not set: the cluster's API needs a bucket (`podbook serve` needs none)")
    if settings.link_secret_file is None:
        raise SetupError("PODBOOK_LINK_SECRET_FILE is not set: links are signed with a secret shared by all replicas")
    try:
        store = S3Store(settings.s3.for_store())
        links = LinkSigner.from_file(settings.link_secret_file)
        keys = _keys(settings)
        profiles = read_profiles_file(settings.profiles_file)
    except (StoreUnavailableError, InvalidSecretError, InvalidKeysFileError, ProfilesError) as error:
        raise SetupError(str(error)) from error
    return Context(
        store=store,
        backend=KubernetesBackend(settings.namespace, max_queued=settings.max_queued),
        validator=ContractValidator(),
        profiles=profiles,
        keys=keys,
        links=links,
        settings=settings,
        catalogue=NoFolder(),
    )


def _keys(settings: ApiSettings) -> Keys:
    if settings.keys_file is not None:
        if settings.allow_anonymous:
            raise SetupError(
                "PODBOOK_KEYS_FILE and PODBOOK_ALLOW_ANONYMOUS are mutually exclusive: callers need a key or they do not"
            )
        return Keyring(settings.keys_file)
    if not settings.allow_anonymous:
        raise SetupError("PODBOOK_KEYS_FILE is not set; to serve everyone without a key, set PODBOOK_ALLOW_ANONYMOUS=true")
    return Anonymous()


if __name__ == "__main__":
    sys.exit(main())
