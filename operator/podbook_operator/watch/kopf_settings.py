"""How kopf watches: with time-outs on both sides, and without leaving anything of its own on any object."""

from collections.abc import Iterable
from typing import Any

import kopf
from typing_extensions import override

from podbook_core import API_GROUP
from podbook_core.execution.labels import OURS

__all__ = ["kopf_settings"]


class _NoDifferences(kopf.DiffBaseStorage):
    """Remembers nothing about objects, and compares nothing: kopf would copy each body several times for each event."""

    @override
    def build(self, *, body: kopf.Body, extra_fields: Iterable[Any] | None = None) -> kopf.BodyEssence:
        return kopf.BodyEssence()

    @override
    def fetch(self, *, body: kopf.Body) -> kopf.BodyEssence | None:
        return None

    @override
    def store(self, *, body: kopf.Body, patch: kopf.Patch, essence: kopf.BodyEssence) -> None:
        return


class _NoProgress(kopf.ProgressStorage):
    """Keeps no progress of handlers: they have none."""

    @override
    def fetch(self, *, key: Any, body: kopf.Body) -> Any:
        return None

    @override
    def store(self, *, key: Any, record: Any, body: kopf.Body, patch: kopf.Patch) -> None:
        return

    @override
    def purge(self, *, key: Any, body: kopf.Body, patch: kopf.Patch) -> None:
        return

    @override
    def touch(self, *, body: kopf.Body, patch: kopf.Patch, value: str | None) -> None:
        return

    @override
    def clear(self, *, essence: kopf.BodyEssence) -> kopf.BodyEssence:
        return essence


def kopf_settings() -> kopf.OperatorSettings:
    """Kopf's settings."""
    settings = kopf.OperatorSettings()
    # Without both time-outs a watch can go silent unnoticed (kopf#585, kopf#957).
    settings.watching.server_timeout = 240
    settings.watching.client_timeout = 260
    settings.watching.connect_timeout = 10
    settings.watching.label_selectors["batch", "v1", "jobs"] = OURS
    settings.watching.label_selectors["", "v1", "pods"] = OURS
    settings.networking.request_timeout = 30
    # An API server that is away is asked for five minutes, and never long after its return. Then the watch ends, and with it the process:
    # one that is refused for good must not look healthy forever.
    settings.networking.error_backoffs = (1, 1, 2, 3, 5, *(10,) * 29)
    settings.networking.enforce_retry_after = True
    settings.posting.enabled = False
    settings.scanning.disabled = True
    settings.peering.standalone = True
    settings.process.ultimate_exiting_timeout = 25
    settings.persistence.finalizer = f"{API_GROUP}/operator"
    settings.persistence.progress_storage = _NoProgress()
    settings.persistence.diffbase_storage = _NoDifferences()
    return settings
