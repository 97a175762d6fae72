"""How an execution comes to be: checked against the contract, made once for each idempotency key, created in the backend."""

import logging
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from podbook_api.auth.keys import Caller
from podbook_api.backends.base import AlreadyExistsError, BackendUnavailableError
from podbook_api.doors.problems import Code, FieldError, ProblemError
from podbook_api.services import idempotency
from podbook_api.services.catalogue import NotebookService
from podbook_api.services.context import Context
from podbook_api.services.executions import ExecutionService
from podbook_api.services.keyed_locks import KeyedLocks
from podbook_api.threads import Threads
from podbook_core.execution.acceptance import Accepted, Refused, accept
from podbook_core.execution.idempotency import REQUEST_ANNOTATION, Replay, Reused, Take, decide
from podbook_core.execution.labels import NOTEBOOK_LABEL, OWN_PREFIX, SUBMITTER_LABEL
from podbook_core.execution.model import MAX_PARAMETERS_BYTES, InputFile, Metadata, NotebookExecution, NotebookRef, Spec
from podbook_core.execution.profiles import DEFAULT_PROFILE
from podbook_core.execution.reasons import Reason
from podbook_core.notebook.versions import Version
from podbook_core.store.base import StoreError
from podbook_core.store.keys import input_key
from podbook_core.text.digests import canonical_json, digest_json
from podbook_core.text.names import (
    LABEL_KEY_LENGTH,
    execution_name,
    idempotency_digest,
    is_label_key,
    is_label_value,
    label_value,
)

__all__ = ["Submitted", "Submitter", "Upload", "Wish"]

_log = logging.getLogger(__name__)
_TURNS = 6
"""How often a request with a key looks again at what other replicas made of it. Four are the most that one replica alone needs."""
_CHECK_PATIENCE = 30.0
"""How long a request may wait for the requests before it that are checked against the same contract, in seconds."""
_CHECKS_PER_VERSION = 2
"""How many threads one contract may hold: one whose check is under way, and one that is ready to follow."""
_LABEL_VALUE_RULE = "at most 63 letters, digits, '-', '_' and '.', with a letter or digit at both ends"
_LABEL_KEY_RULE = f"{_LABEL_VALUE_RULE}; before it, if anything, a DNS subdomain in lower case and '/'"


@dataclass(frozen=True, slots=True)
class Upload:
    """An input file that was received: where its content is until it is in the store."""

    file: InputFile
    content: bytes | Path


@dataclass(frozen=True, slots=True)
class Wish:
    """What a caller asks for. ``spec`` is as the caller said it; version and submitter are filled in here."""

    spec: Spec
    labels: Mapping[str, str]
    uploads: Sequence[Upload] = ()
    key: str | None = None
    """The Idempotency-Key header."""


@dataclass(frozen=True, slots=True)
class Submitted:
    """The execution, and whether it is the one an earlier request with the same key made."""

    execution: NotebookExecution
    replayed: bool


class Submitter:
    """Creates executions."""

    def __init__(
        self, context: Context, notebooks: NotebookService, executions: ExecutionService, *, threads: Threads, checks: Threads
    ) -> None:
        self._context = context
        self._notebooks, self._executions = notebooks, executions
        self._threads, self._checks = threads, checks
        self._locks: KeyedLocks[str] = KeyedLocks()
        self._turns: KeyedLocks[tuple[str, str]] = KeyedLocks(patience=_CHECK_PATIENCE, places=_CHECKS_PER_VERSION)

    async def check(self, caller: Caller, wish: Wish) -> Accepted:
        """Whether it could run, and as what; nothing is created.

        Raises:
            ProblemError: it could not, with what would be right.
        """
        self._authorise(caller, wish.spec.notebook.name)
        return await self._check(caller, wish)

    async def _check(self, caller: Caller, wish: Wish) -> Accepted:
        """The check of a caller that may run the notebook."""
        spec = wish.spec
        wrong = label_errors(wish.labels)
        if wrong:
            text = "; ".join(f"{item.path}: {item.problem}; expected {item.expected}" for item in wrong[:3])
            raise ProblemError(422, Code.INVALID_REQUEST, f"the labels are not valid: {text}", errors=wrong)
        size = len(canonical_json(spec.parameters))
        if size > MAX_PARAMETERS_BYTES:
            raise ProblemError(
                413,
                Code.PARAMETERS_TOO_LARGE,
                f"the parameters are {size} bytes as JSON; at most {MAX_PARAMETERS_BYTES} are allowed: send large data as input files",
            )
        version = await self._notebooks.version(spec.notebook.name, spec.notebook.version)
        wanted = spec.model_copy(update={"submitted_by": caller.id})
        # Whoever waits for a slow contract waits here, and not in one of the threads, which are everybody's.
        async with self._turns.turn((spec.notebook.name, version.version if version else "")):
            decision = await self._checks.run(accept, wanted, version, self._context.profiles, self._context.validator)
        if isinstance(decision, Refused):
            raise self._refusal(decision, spec, version)
        return decision

    async def submit(self, caller: Caller, wish: Wish) -> Submitted:
        """Create an execution, or find the one the same idempotency key made before.

        Raises:
            ProblemError: it may not run, or the key was used with another body.
            QueueFullError: too many wait.
        """
        name = wish.spec.notebook.name
        self._authorise(caller, name)
        if wish.key is None:
            accepted = await self._check(caller, wish)
            return await self._create(caller, wish, accepted, execution_name(name))
        digest = idempotency_digest(caller.id or "", name, wish.key)
        # Within this process the lookup and the creation are one step: a run that is created, ends and leaves the backend between
        # them would otherwise be made twice.
        async with self._locks.turn(digest):
            return await self._submit_once(caller, wish, digest)

    async def _submit_once(self, caller: Caller, wish: Wish, digest: str) -> Submitted:
        body = digest_json({"spec": wish.spec.document(), "labels": dict(wish.labels)})
        accepted: Accepted | None = None
        for _ in range(_TURNS):
            known = await self._threads.run(idempotency.read, self._context.store, digest)
            entry, etag = (None, None) if known is None else known
            execution = None if entry is None else await self._executions.lookup(entry.name)
            wanted = self._execution(caller, wish, name="" if entry is None else entry.name, body=body)
            decision = decide(entry, execution, wanted, digest=digest, now=self._context.clock())
            if isinstance(decision, Replay):
                return Submitted(decision.execution, replayed=True)
            if isinstance(decision, Reused):
                raise _reused(decision)
            # What is refused takes no key.
            accepted = accepted or await self._check(caller, wish)
            if isinstance(decision, Take):
                await self._threads.run(idempotency.claim, self._context.store, digest, decision.entry, replacing=etag)
                continue
            try:
                return await self._create(caller, wish, accepted, decision.name, body=body)
            except AlreadyExistsError:
                continue  # another replica was faster, or what is there is another request's: the next look tells
            except Exception:
                await self._release(digest, decision.name)
                raise
        raise BackendUnavailableError("what an idempotency key leads to keeps changing", retry_after=1)

    async def _release(self, digest: str, name: str) -> None:
        """Give a key back. Where that fails, it stays with the request that took it, until it expires."""
        try:
            await self._threads.run(idempotency.release, self._context.store, digest, name)
        except (StoreError, ValueError) as error:
            _log.warning("an idempotency key could not be given back: %s", error)

    async def _create(self, caller: Caller, wish: Wish, accepted: Accepted, name: str, *, body: str | None = None) -> Submitted:
        for upload in wish.uploads:
            await self._threads.run(
                self._context.store.put, input_key(upload.file.sha256), upload.content, media_type=upload.file.media_type
            )
        # What was checked is what runs, whatever is published meanwhile.
        execution = self._execution(caller, wish, name=name, body=body, version=accepted.version.version)
        return Submitted(await self._context.backend.create(execution), replayed=False)

    def _execution(
        self, caller: Caller, wish: Wish, *, name: str, body: str | None, version: str | None = None
    ) -> NotebookExecution:
        """What a wish asks for, as it is handed to the backend."""
        notebook = wish.spec.notebook
        own = {NOTEBOOK_LABEL: label_value(notebook.name)}
        if caller.id is not None:
            own[SUBMITTER_LABEL] = label_value(caller.id)
        return NotebookExecution(
            metadata=Metadata(
                name=name or execution_name(notebook.name),
                namespace=self._context.settings.namespace,
                labels={**wish.labels, **own},
                annotations={} if body is None else {REQUEST_ANNOTATION: body},
            ),
            spec=wish.spec.model_copy(
                update={
                    "notebook": NotebookRef(name=notebook.name, version=version or notebook.version),
                    "submitted_by": caller.id,
                    "cancel": False,
                }
            ),
        )

    def _authorise(self, caller: Caller, name: str) -> None:
        if caller.may("notebooks", name, "run"):
            return
        if caller.may_read_notebook(name):
            raise ProblemError(403, Code.FORBIDDEN, f"this key lacks the scope notebooks/{name}/run")
        raise ProblemError(
            403, Code.FORBIDDEN, f"this key lacks the scope notebooks/{name}/run (whether such a notebook exists is not said)"
        )

    def _refusal(self, refused: Refused, spec: Spec, version: Version | None) -> ProblemError:
        """The problem of a refusal; what the caller cannot mend is the platform's fault."""
        if refused.reason is Reason.NOTEBOOK_NOT_FOUND:
            return ProblemError(404, Code.NOTEBOOK_NOT_FOUND, refused.message)
        if refused.reason is Reason.INVALID_PARAMETERS:
            errors = [FieldError(path=item.path, problem=item.problem, expected=item.expected) for item in refused.violations]
            return ProblemError(422, Code.INVALID_PARAMETERS, refused.message, errors=errors)
        profile = spec.profile or (version.contract.profile if version else None) or DEFAULT_PROFILE
        if profile in self._context.profiles:
            return ProblemError(403, Code.PROFILE_NOT_PERMITTED, refused.message)
        if spec.profile is not None:
            return ProblemError(422, Code.UNKNOWN_PROFILE, refused.message)
        return ProblemError(503, Code.CONFIGURATION_ERROR, refused.message)


def _reused(decision: Reused) -> ProblemError:
    return ProblemError(
        422,
        Code.IDEMPOTENCY_KEY_REUSED,
        f"this Idempotency-Key was first used at {decision.since.isoformat(timespec='seconds')} with another request; "
        "take a new key for a new request",
    )


def label_errors(labels: Mapping[str, str]) -> list[FieldError]:
    """What is wrong with a caller's labels: Kubernetes' rules hold in both modes, and some keys are Podbook's own. Pure."""
    errors = []
    for key, value in labels.items():
        place = "/labels/" + key[:LABEL_KEY_LENGTH].replace("~", "~0").replace("/", "~1")
        if key.startswith(OWN_PREFIX):
            errors.append(FieldError(path=place, problem="is set by Podbook itself", expected=f"a key without {OWN_PREFIX}"))
        elif not is_label_key(key):
            errors.append(FieldError(path=place, problem="is no label key", expected=_LABEL_KEY_RULE))
        elif not is_label_value(value):
            errors.append(FieldError(path=place, problem="has a value that no label can have", expected=_LABEL_VALUE_RULE))
    return errors


def temporary_file() -> Path:
    """A new empty file for an upload, readable by this process only; the caller removes it."""
    with tempfile.NamedTemporaryFile(prefix="podbook-upload-", delete=False) as file:
        return Path(file.name)
