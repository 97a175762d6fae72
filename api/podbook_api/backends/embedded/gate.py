"""What an embedded execution may run as: looked up once, and fixed from then on."""

from collections.abc import Mapping
from typing import Any

from podbook_core.execution.acceptance import Accepted, Refused, accept
from podbook_core.execution.model import NotebookExecution
from podbook_core.execution.profiles import Profiles
from podbook_core.execution.reasons import Reason
from podbook_core.notebook.versions import UnreadableVersionError, Version, VersionStore
from podbook_core.schema.validation import ContractValidator
from podbook_core.schema.violations import Violation
from podbook_core.store.base import ObjectStore
from podbook_core.text.digests import digest_json

__all__ = ["Gate"]

_VERSIONS_KEPT = 256


class _Passed:
    """The check of parameters that have passed it before."""

    def violations(self, schema: Mapping[str, Any] | bool | None, value: Any) -> list[Violation]:  # noqa: ARG002 - as the Protocol has it
        """None."""
        return []


class Gate:
    """Accepts executions. Calls block, and raise the store's errors.

    Args:
        store: holds the versions.
        validator: checks parameters against contracts.
        profiles: what executions may run as.
    """

    def __init__(self, store: ObjectStore, validator: ContractValidator, profiles: Profiles) -> None:
        self._versions = VersionStore(store)
        self._validator = validator
        self._profiles = profiles
        self._known: dict[tuple[str, str], Version] = {}

    def accept(self, execution: NotebookExecution) -> Accepted | Refused:
        """Whether an execution may run, and as what; with the version that was fixed once it had been accepted."""
        spec, resolved = execution.spec, execution.status.resolved
        wanted = resolved.version if resolved is not None else spec.notebook.version
        try:
            if wanted is None:
                pointer = self._versions.current(spec.notebook.name)
                wanted = None if pointer is None else pointer.version
            version = None if wanted is None else self._version(spec.notebook.name, wanted)
        except UnreadableVersionError as error:
            return Refused(Reason.INVALID_NOTEBOOK, f"the stored notebook cannot be used: {error}")
        # The very same parameters were found right by the very same contract: that verdict holds, even should the contract stall by now.
        known = resolved is not None and resolved.parameters_digest == digest_json(spec.parameters)
        decision = accept(spec, version, self._profiles, _Passed() if known else self._validator)
        if isinstance(decision, Accepted) and resolved and resolved.parameters_digest != decision.resolved.parameters_digest:
            return Refused(Reason.INVALID_PARAMETERS, "the parameters were changed after they had been accepted")
        return decision

    def retries(self, execution: NotebookExecution) -> int:
        """Further attempts after a fault of the platform: the execution's own wish, else its contract's."""
        spec, resolved = execution.spec, execution.status.resolved
        if spec.retries is not None or resolved is None:
            return spec.retries or 0
        try:
            version = self._version(spec.notebook.name, resolved.version)
        except UnreadableVersionError:
            return 0  # another attempt could not begin
        return (version.contract.retries or 0) if version is not None else 0

    def _version(self, name: str, version: str) -> Version | None:
        known = self._known.get((name, version))
        if known is None:
            known = self._versions.load(name, version)
            if known is not None:
                if len(self._known) >= _VERSIONS_KEPT:
                    self._known.clear()
                self._known[name, version] = known
        return known
