"""What the application is made of. Built once by an entry point (embedded or cluster) and handed to ``create_app``; nothing is global."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from podbook_api.auth.keys import Keys
from podbook_api.auth.links import LinkSigner
from podbook_api.backends.base import ExecutionBackend
from podbook_api.clock import utc_now
from podbook_api.settings import ApiSettings
from podbook_core.execution.profiles import Profiles
from podbook_core.schema.validation import ContractValidator
from podbook_core.store.base import ObjectStore

__all__ = ["Catalogue", "Context", "NoFolder"]


class Catalogue(Protocol):
    """What a folder of notebooks adds to those published in the store."""

    def broken(self) -> Mapping[str, str]:
        """Notebooks that cannot be served, by name, with the reason in a sentence."""
        ...

    def managed(self, name: str) -> bool:
        """Whether a notebook comes from the folder, so that it cannot be published or removed over REST."""
        ...


class NoFolder:
    """The catalogue where every notebook is published over REST."""

    def broken(self) -> Mapping[str, str]:
        """None is."""
        return {}

    def managed(self, name: str) -> bool:  # noqa: ARG002 - as the Protocol has it
        """None is."""
        return False


@dataclass(frozen=True, slots=True)
class Context:
    """The parts of one application. The entry point owns them: it closes the validator after the application has ended."""

    store: ObjectStore
    backend: ExecutionBackend
    """Started and stopped by the application's lifespan."""
    validator: ContractValidator
    profiles: Profiles
    keys: Keys
    links: LinkSigner
    settings: ApiSettings
    catalogue: Catalogue
    clock: Callable[[], datetime] = utc_now
