"""How an execution comes to be: checked against the contract, made once for each idempotency key, created in the backend."""

import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from podbook_api.backends.base import AlreadyExistsError
from podbook_api.context import Context
from podbook_api.keyed_locks import KeyedLocks
from podbook_api.keys import Caller
from podbook_api.problems import Code, FieldError, ProblemError
from podbook_api.services import idempotency
from podbook_api.services.executions import ExecutionService
from podbook_api.services.notebooks import NotebookService
from podbook_api.threads import Threads
from podbook_core.acceptance import Accepted, Refused, accept
from podbook_core.digests import canonical_json, digest_json
from podbook_core.model import MAX_PARAMETERS_BYTES, InputFile, Metadata, NotebookExecution, NotebookRef, Spec
from podbook_core.names import (
    LABEL_KEY_LENGTH,
    execution_name,
    execution_name_for_key,
    idempotency_digest,
    is_label_key,
    is_label_value,
    label_value,
)
from podbook_core.profiles import DEFAULT_PROFILE
from podbook_core.reasons import Reason
from podbook_core.store.keys import input_key
from podbook_core.versions import Version

__all__ = ["Submitted", "Submitter", "Upload", "Wish"]

_OWN_LABELS = "podbook.dev/"
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
        now = self._context.clock()
        body = digest_json({"spec": wish.spec.document(), "labels": dict(wish.labels)})
        known = await self._threads.run(idempotency.read, self._context.store, digest)
        replacing: str | None = None
        if known is not None:
            entry, etag = known
            execution = await self._executions.lookup(entry.name)
            if idempotency.expired(entry, execution, now=now):
                replacing = etag
            else:
                self._same_body(entry, body)
                if execution is not None:
                    return Submitted(execution, replayed=True)
        accepted = await self._check(caller, wish)
        mine = idempotency.Entry(body, execution_name_for_key(wish.spec.notebook.name, digest), now)
        if known is None or replacing is not None:
            winner = await self._threads.run(idempotency.claim, self._context.store, digest, mine, replacing=replacing)
            self._same_body(winner, body)
        return await self._create(caller, wish, accepted, mine.name)

    async def _create(self, caller: Caller, wish: Wish, accepted: Accepted, name: str) -> Submitted:
        for upload in wish.uploads:
            await self._threads.run(
                self._context.store.put, input_key(upload.file.sha256), upload.content, media_type=upload.file.media_type
            )
        notebook = wish.spec.notebook.name
        own = {f"{_OWN_LABELS}notebook": label_value(notebook)}
        if caller.id is not None:
            own[f"{_OWN_LABELS}submitter"] = label_value(caller.id)
        execution = NotebookExecution(
            metadata=Metadata(name=name, namespace=self._context.settings.namespace, labels={**wish.labels, **own}),
            spec=wish.spec.model_copy(
                update={
                    # What was checked is what runs, whatever is published meanwhile.
                    "notebook": NotebookRef(name=notebook, version=accepted.version.version),
                    "submitted_by": caller.id,
                    "cancel": False,
                }
            ),
        )
        try:
            return Submitted(await self._context.backend.create(execution), replayed=False)
        except AlreadyExistsError as error:
            # Only a name made of an idempotency key meets itself: another replica was faster with the same request.
            existing = error.existing or await self._executions.lookup(name)
            if existing is None:
                raise
            return Submitted(existing, replayed=True)

    def _authorise(self, caller: Caller, name: str) -> None:
        if caller.may("notebooks", name, "run"):
            return
        if caller.may_read_notebook(name):
            raise ProblemError(403, Code.FORBIDDEN, f"this key lacks the scope notebooks/{name}/run")
        raise ProblemError(
            403, Code.FORBIDDEN, f"this key lacks the scope notebooks/{name}/run (whether such a notebook exists is not said)"
        )

    def _same_body(self, entry: idempotency.Entry, body: str) -> None:
        if entry.body_digest != body:
            raise ProblemError(
                422,
                Code.IDEMPOTENCY_KEY_REUSED,
                f"this Idempotency-Key was first used at {entry.time.isoformat(timespec='seconds')} with another request; "
                "take a new key for a new request",
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


def label_errors(labels: Mapping[str, str]) -> list[FieldError]:
    """What is wrong with a caller's labels: Kubernetes' rules hold in both modes, and some keys are Podbook's own. Pure."""
    errors = []
    for key, value in labels.items():
        place = "/labels/" + key[:LABEL_KEY_LENGTH].replace("~", "~0").replace("/", "~1")
        if key.startswith(_OWN_LABELS):
            errors.append(FieldError(path=place, problem="is set by Podbook itself", expected=f"a key without {_OWN_LABELS}"))
        elif not is_label_key(key):
            errors.append(FieldError(path=place, problem="is no label key", expected=_LABEL_KEY_RULE))
        elif not is_label_value(value):
            errors.append(FieldError(path=place, problem="has a value that no label can have", expected=_LABEL_VALUE_RULE))
    return errors


def temporary_file() -> Path:
    """A new empty file for an upload, readable by this process only; the caller removes it."""
    with tempfile.NamedTemporaryFile(prefix="podbook-upload-", delete=False) as file:
        return Path(file.name)
