"""Accepting an execution: which version of its notebook runs, and whether it may; asked once, and only compared from then on.

What was accepted is in ``status.resolved``. Before it is run, :meth:`Accepting.confirm` says whether all of it is still available:
the parameters are compared by their digest and never checked again, since a contract that has stalled by then would change the verdict.
"""

import threading
from collections import OrderedDict

from podbook_core.execution.acceptance import Accepted, ParameterCheck, Refused, accept, limits
from podbook_core.execution.model import NotebookExecution, Resolved, Spec
from podbook_core.execution.profiles import Profiles
from podbook_core.execution.reasons import Reason
from podbook_core.notebook.versions import UnreadableVersionError, Version, VersionStore
from podbook_core.store.base import ObjectStore
from podbook_core.text.digests import digest_json

__all__ = ["Accepting"]

_VERSIONS = 256


class Accepting:
    """Accepts executions, for operator and supervisor alike. Calls block, and raise the store's errors; safe for several threads.

    Args:
        store: holds the versions.
        validator: checks parameters against contracts.
    """

    def __init__(self, store: ObjectStore, validator: ParameterCheck) -> None:
        self._versions = VersionStore(store)
        self._validator = validator
        self._known: OrderedDict[tuple[str, str], Version] = OrderedDict()
        self._lock = threading.Lock()

    def accept(self, spec: Spec, profiles: Profiles) -> Accepted | Refused:
        """Whether a spec may run, and as what: with the version it names, else the current one.

        Raises:
            ValidationBusyError: nothing could be decided; trying again later may help.
        """
        name, wanted = spec.notebook.name, spec.notebook.version
        try:
            if wanted is None:
                pointer = self._versions.current(name)
                wanted = None if pointer is None else pointer.version
            version = None if wanted is None else self.version(name, wanted)
        except UnreadableVersionError as error:
            return _unreadable(error)
        return accept(spec, version, profiles, self._validator)

    def fixed(self, execution: NotebookExecution) -> tuple[Resolved, Version] | Refused:
        """Exactly what was accepted of an execution, given with its parameters; or why that is no longer available."""
        resolved = execution.status.resolved
        if resolved is None:
            return Refused(Reason.CONFIGURATION_ERROR, "it was never accepted")
        if digest_json(execution.spec.parameters) != resolved.parameters_digest:
            # The API server's rule for immutable specs has a hole where values are free-form; a document may be edited by hand.
            return Refused(Reason.INVALID_PARAMETERS, "the parameters changed after they were accepted")
        try:
            version = self.version(execution.spec.notebook.name, resolved.version)
        except UnreadableVersionError as error:
            return _unreadable(error)
        if version is None:
            return Refused(Reason.NOTEBOOK_NOT_FOUND, f"version {resolved.version[:12]} is no longer stored")
        return resolved, version

    def confirm(self, execution: NotebookExecution, profiles: Profiles) -> Accepted | Refused:
        """The same with the profile it runs on, for use before it is run."""
        found = self.fixed(execution)
        if isinstance(found, Refused):
            return found
        resolved, version = found
        profile = profiles.get(resolved.profile)
        if profile is None:
            return Refused(Reason.CONFIGURATION_ERROR, f"profile {resolved.profile} is no longer offered")
        return Accepted(version, profile, resolved, limits(execution.spec, version, profile))

    def retries(self, execution: NotebookExecution) -> int:
        """Further attempts that an accepted execution may have after a fault of the platform: its own wish, else its contract's."""
        spec, resolved = execution.spec, execution.status.resolved
        if spec.retries is not None or resolved is None:
            return spec.retries or 0
        try:
            version = self.version(spec.notebook.name, resolved.version)
        except UnreadableVersionError:
            return 0  # another attempt could not begin
        return (version.contract.retries or 0) if version is not None else 0

    def version(self, name: str, version: str) -> Version | None:
        """A version of a notebook, None when it is not stored. Versions never change, so the ones used last are kept.

        Raises:
            UnreadableVersionError: it is damaged, or a newer Podbook wrote it.
        """
        key = (name, version)
        with self._lock:
            if key in self._known:
                self._known.move_to_end(key)
                return self._known[key]
        found = self._versions.load(name, version)
        if found is not None:
            with self._lock:
                self._known[key] = found
                if len(self._known) > _VERSIONS:
                    self._known.popitem(last=False)
        return found


def _unreadable(error: UnreadableVersionError) -> Refused:
    return Refused(Reason.INVALID_NOTEBOOK, f"the stored notebook cannot be used: {error}")
