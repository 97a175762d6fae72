"""How an execution comes to be: checked against the contract, made once for each idempotency key, created in the backend."""

import logging
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from podbook_api.auth.keys import Caller
from podbook_api.backends.base import AlreadyExistsError, BackendUnavailableError
from podbook_api.services.catalogue import NotebookService
from podbook_api.services.context import Context
from podbook_api.services.creation import idempotency
from podbook_api.services.creation.keyed_locks import KeyedLocks
from podbook_api.services.errors import (
    InvalidParametersError,
    InvalidRequestError,
    KeyReusedError,
    MisconfiguredError,
    NotPermittedError,
    ProfileNotPermittedError,
    ServiceError,
    TooLargeError,
    UnknownProfileError,
    VersionNotFoundError,
)
from podbook_api.services.executions import ExecutionService
from podbook_core.execution.acceptance import Accepted, Refused, accept
from podbook_core.execution.idempotency import REQUEST_ANNOTATION, Replay, Reused, Take, decide
from podbook_core.execution.labels import NOTEBOOK_LABEL, OWN_PREFIX, SUBMITTER_LABEL
from podbook_core.execution.model import MAX_PARAMETERS_BYTES, InputFile, Metadata, NotebookExecution, NotebookRef, Spec
from podbook_core.execution.profiles import DEFAULT_PROFILE
from podbook_core.execution.reasons import Reason
from podbook_core.notebook.versions import Version
from podbook_core.schema.violations import Violation
from podbook_core.store.base import StoreError
from podbook_core.store.keys import input_key, request_key
from podbook_core.text.digests import canonical_json, digest_json
from podbook_core.text.json_pointer import escape
from podbook_core.text.names import (
    LABEL_KEY_LENGTH,
    execution_name,
    idempotency_digest,
    is_label_key,
    is_label_value,
    label_value,
)
from podbook_core.threads import Threads

__all__ = ["CreateRequest", "Creation", "Creator", "Upload"]

_log = logging.getLogger(__name__)
_TURNS = 6
"""How often a request with a key looks again at what other replicas made of it. Four are the most that one replica alone needs."""
_CHECK_PATIENCE = 30.0
"""How long a request may wait for the requests before it that are checked against the same contract, in seconds."""
_CHECKS_PER_VERSION = 2
"""How many threads one contract may hold: one whose check is running, and one that is ready to follow."""
_LABEL_VALUE_RULE = "at most 63 letters, digits, '-', '_' and '.', starting and ending with a letter or digit"
_LABEL_KEY_RULE = f"{_LABEL_VALUE_RULE}; optionally prefixed by a lower-case DNS subdomain and '/'"


@dataclass(frozen=True, slots=True)
class Upload:
    """An input file that was received: where its content is until it is in the store."""

    file: InputFile
    content: bytes | Path


@dataclass(frozen=True, slots=True)
class CreateRequest:
    """What a caller asks for. ``spec`` is as the caller said it; version and submitter are filled in here."""

    spec: Spec
    labels: Mapping[str, str]
    uploads: Sequence[Upload] = ()
    key: str | None = None
    """The caller's idempotency key."""
    request: bytes | None = None
    """What the HTTP request says that ``spec.request`` is about."""
    name: str | None = None
    """What the execution is called, where its door hands out names of its own; made up when None. Not with a key."""


@dataclass(frozen=True, slots=True)
class Creation:
    """The execution, and whether it is the one an earlier request with the same key made."""

    execution: NotebookExecution
    replayed: bool


class Creator:
    """Creates executions."""

    def __init__(
        self, context: Context, notebooks: NotebookService, executions: ExecutionService, *, threads: Threads, checks: Threads
    ) -> None:
        self._context = context
        self._notebooks, self._executions = notebooks, executions
        self._threads, self._checks = threads, checks
        self._locks: KeyedLocks[str] = KeyedLocks()
        self._turns: KeyedLocks[tuple[str, str]] = KeyedLocks(patience=_CHECK_PATIENCE, places=_CHECKS_PER_VERSION)

    async def check(self, caller: Caller, request: CreateRequest) -> Accepted:
        """Whether it could run, and as what; nothing is created.

        Raises:
            ServiceError: it could not, with what would be right.
        """
        self.authorise(caller, request.spec.notebook.name)
        return await self._check(caller, request)

    async def _check(self, caller: Caller, request: CreateRequest) -> Accepted:
        """The check of a caller that may run the notebook."""
        spec = request.spec
        wrong = label_errors(request.labels)
        if wrong:
            text = "; ".join(f"{item.path}: {item.problem}; expected {item.expected}" for item in wrong[:3])
            raise InvalidRequestError(f"the labels are not valid: {text}", violations=wrong)
        size = len(canonical_json(spec.parameters))
        if size > MAX_PARAMETERS_BYTES:
            raise TooLargeError(
                f"the parameters are {size} bytes as JSON; at most {MAX_PARAMETERS_BYTES} are allowed: send large data as input files"
            )
        version = await self._notebooks.version(spec.notebook.name, spec.notebook.version)
        wanted = spec.model_copy(update={"submitted_by": caller.id})
        # Callers that wait for a slow contract wait here, and not in one of the threads, which are shared.
        async with self._turns.turn((spec.notebook.name, version.version if version else "")):
            decision = await self._checks.run(accept, wanted, version, self._context.profiles, self._context.validator)
        if isinstance(decision, Refused):
            raise self._refusal(decision, spec, version)
        return decision

    async def create(self, caller: Caller, request: CreateRequest) -> Creation:
        """Create an execution, or find the one the same idempotency key made before.

        Raises:
            ServiceError: it may not run, or the key was used with another request.
            QueueFullError: too many wait.
        """
        name = request.spec.notebook.name
        self.authorise(caller, name)
        if request.key is None:
            accepted = await self._check(caller, request)
            return await self._create_as(caller, request, accepted, request.name or execution_name(name))
        digest = idempotency_digest(caller.id or "", name, request.key)
        # Within this process the lookup and the creation are one step: a run that is created, ends and leaves the backend between
        # them would otherwise be made twice.
        async with self._locks.turn(digest):
            return await self._create_once(caller, request, digest)

    async def _create_once(self, caller: Caller, request: CreateRequest, digest: str) -> Creation:
        body = digest_json({"spec": request.spec.document(), "labels": dict(request.labels)})
        accepted: Accepted | None = None
        for _ in range(_TURNS):
            known = await self._threads.run(idempotency.read, self._context.store, digest)
            entry, etag = (None, None) if known is None else known
            execution = None if entry is None else await self._executions.lookup(entry.name)
            wanted = self._execution(caller, request, name="" if entry is None else entry.name, body=body)
            decision = decide(entry, execution, wanted, digest=digest, now=self._context.clock())
            if isinstance(decision, Replay):
                return Creation(decision.execution, replayed=True)
            if isinstance(decision, Reused):
                raise KeyReusedError(decision.since)
            # What is refused takes no key.
            accepted = accepted or await self._check(caller, request)
            if isinstance(decision, Take):
                await self._threads.run(idempotency.claim, self._context.store, digest, decision.entry, replacing=etag)
                continue
            try:
                return await self._create_as(caller, request, accepted, decision.name, body=body)
            except AlreadyExistsError:
                continue  # another replica was faster, or what is there is another request's: the next look tells
            except Exception:
                await self._release(digest, decision.name)
                raise
        raise BackendUnavailableError("the execution behind an idempotency key keeps changing", retry_after=1)

    async def _release(self, digest: str, name: str) -> None:
        """Give a key back. Where that fails, it stays with the request that took it, until it expires."""
        try:
            await self._threads.run(idempotency.release, self._context.store, digest, name)
        except (StoreError, ValueError) as error:
            _log.warning("an idempotency key could not be released: %s", error)

    async def _create_as(
        self, caller: Caller, request: CreateRequest, accepted: Accepted, name: str, *, body: str | None = None
    ) -> Creation:
        for upload in request.uploads:
            await self._threads.run(
                self._context.store.put, input_key(upload.file.sha256), upload.content, media_type=upload.file.media_type
            )
        if request.request is not None and request.spec.request is not None:
            await self._threads.run(
                self._context.store.put, request_key(request.spec.request.sha256), request.request, media_type="application/json"
            )
        # What was checked is what runs, whatever is published meanwhile.
        execution = self._execution(caller, request, name=name, body=body, version=accepted.version.version)
        return Creation(await self._context.backend.create(execution), replayed=False)

    def _execution(
        self, caller: Caller, request: CreateRequest, *, name: str, body: str | None, version: str | None = None
    ) -> NotebookExecution:
        """What is asked for, as it is handed to the backend."""
        notebook = request.spec.notebook
        own = {NOTEBOOK_LABEL: label_value(notebook.name)}
        if caller.id is not None:
            own[SUBMITTER_LABEL] = label_value(caller.id)
        return NotebookExecution(
            metadata=Metadata(
                name=name or execution_name(notebook.name),
                namespace=self._context.settings.namespace,
                labels={**request.labels, **own},
                annotations={} if body is None else {REQUEST_ANNOTATION: body},
            ),
            spec=request.spec.model_copy(
                update={
                    "notebook": NotebookRef(name=notebook.name, version=version or notebook.version),
                    "submitted_by": caller.id,
                    "cancel": False,
                }
            ),
        )

    def authorise(self, caller: Caller, name: str) -> None:
        """Refuse a caller that may not run a notebook of this name, whether there is one or not.

        Raises:
            NotPermittedError: it may not.
        """
        if caller.may("notebooks", name, "run"):
            return
        if caller.may_read_notebook(name):
            raise NotPermittedError(f"this key lacks the scope notebooks/{name}/run")
        raise NotPermittedError(f"this key lacks the scope notebooks/{name}/run (whether such a notebook exists is not disclosed)")

    def _refusal(self, refused: Refused, spec: Spec, version: Version | None) -> ServiceError:
        """The error of a refusal; what the caller cannot fix is the platform's fault."""
        if refused.reason is Reason.NOTEBOOK_NOT_FOUND:
            return VersionNotFoundError(spec.notebook.name, refused.message)
        if refused.reason is Reason.INVALID_PARAMETERS:
            return InvalidParametersError(refused.message, violations=refused.violations)
        profile = spec.profile or (version.contract.profile if version else None) or DEFAULT_PROFILE
        if profile in self._context.profiles:
            return ProfileNotPermittedError(refused.message)
        if spec.profile is not None:
            return UnknownProfileError(refused.message)
        return MisconfiguredError(refused.message)


def label_errors(labels: Mapping[str, str]) -> list[Violation]:
    """What is wrong with a caller's labels: Kubernetes' rules hold in both modes, and some keys are Podbook's own. Pure."""
    errors = []
    for key, value in labels.items():
        place = "/labels/" + escape(key[:LABEL_KEY_LENGTH])
        if key.startswith(OWN_PREFIX):
            errors.append(Violation(place, "is reserved for Podbook", f"a key without {OWN_PREFIX}"))
        elif not is_label_key(key):
            errors.append(Violation(place, "must be a valid label key", _LABEL_KEY_RULE))
        elif not is_label_value(value):
            errors.append(Violation(place, "must have a valid label value", _LABEL_VALUE_RULE))
    return errors


def temporary_file() -> Path:
    """A new empty file for an upload, readable by this process only; the caller removes it."""
    with tempfile.NamedTemporaryFile(prefix="podbook-upload-", delete=False) as file:
        return Path(file.name)
