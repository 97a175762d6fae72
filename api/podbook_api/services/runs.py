"""What a caller does with a notebook: run it, wait for the answer, run it again. The use cases that every door is a spelling of."""

from collections.abc import Mapping, Sequence
from typing import Any, Literal

import anyio.to_thread

from podbook_api.auth.keys import Caller
from podbook_api.metrics import Metrics
from podbook_api.services import audit
from podbook_api.services.catalogue import NotebookService
from podbook_api.services.creation.creator import CreateRequest, Creation, Creator
from podbook_api.services.creation.form_parameters import parameters_from_fields
from podbook_api.services.errors import InputsGoneError, InvalidParametersError, ServiceError
from podbook_api.services.executions import ExecutionService
from podbook_api.services.results import ResultService
from podbook_core.execution.acceptance import Accepted
from podbook_core.execution.labels import OWN_PREFIX
from podbook_core.execution.model import NotebookExecution, NotebookRef
from podbook_core.schema.violations import Violation
from podbook_core.store.keys import input_key, request_key

__all__ = ["RunService"]


class RunService:
    """Runs notebooks for callers: everything is counted, and noted for the audit log, here and not in the doors."""

    def __init__(
        self,
        creator: Creator,
        notebooks: NotebookService,
        executions: ExecutionService,
        results: ResultService,
        *,
        metrics: Metrics,
    ) -> None:
        self._creator = creator
        self._notebooks, self._executions, self._results = notebooks, executions, results
        self._metrics = metrics

    def permit(self, caller: Caller, notebook: str) -> None:
        """Let a caller run a notebook; asked again where that is done. Ask before a body is read.

        Raises:
            NotPermittedError: it may not, whether there is such a notebook or not.
        """
        try:
            self._creator.authorise(caller, notebook)
        except ServiceError as error:
            self._refused(error)
            raise

    async def parameters(
        self, notebook: str, *, version: str | None = None, given: Any = None, texts: Mapping[str, Sequence[str]] | None = None
    ) -> dict[str, Any]:
        """The parameters of a call, from what a request says in JSON and in texts (form fields, a query, parts of a path).

        Args:
            notebook: its name. The caller must have been permitted to run it: what is said here tells about its contract.
            version: the version whose contract says what a text is; the current one when None.
            given: JSON by name; goes before ``texts``.
            texts: texts by name; several of one name are an array.

        Raises:
            InvalidParametersError: ``given`` is not an object.
            NotebookNotFoundError, NotebookBrokenError: as for any run, where there are texts.
        """
        given = {} if given is None else given
        if not isinstance(given, dict):
            wrong = Violation("", "must be an object", "an object with the parameters by name")
            raise InvalidParametersError(wrong.sentence(), violations=[wrong])
        if not texts:
            return given
        found = await self._notebooks.version(notebook, version)
        schema = None if found is None else found.contract.input
        return {**await anyio.to_thread.run_sync(parameters_from_fields, texts, schema), **given}

    async def check(self, caller: Caller, request: CreateRequest) -> Accepted:
        """Whether it could run, and as what; nothing is created.

        Raises:
            ServiceError: it could not, with what would be right.
        """
        return await self._creator.check(caller, request)

    async def create(self, caller: Caller, request: CreateRequest) -> Creation:
        """Create an execution, or find the one the same idempotency key made before.

        Raises:
            ServiceError: it may not run, or the key was used with another request.
            QueueFullError: too many wait.
        """
        try:
            creation = await self._creator.create(caller, request)
        except ServiceError as error:
            self._refused(error)
            raise
        audit.note(execution=creation.execution.name)
        if not creation.replayed:
            self._metrics.submitted.inc()
        return creation

    async def settled(self, creation: Creation, seconds: float) -> Creation:
        """The same once its execution has ended and can be read, or as it is when the time is over."""
        if not seconds:
            return creation
        return Creation(await self._executions.wait(creation.execution, seconds), creation.replayed)

    async def rerun(
        self, caller: Caller, name: str, *, version: Literal["same", "current"] = "same", key: str | None = None
    ) -> Creation:
        """Create a new execution with the parameters, inputs, limits and labels of an earlier one.

        Args:
            caller: who runs it.
            name: of the earlier execution.
            version: whether the version that ran, or the one published now.
            key: idempotency key of this request.

        Raises:
            ExecutionNotFoundError: there is no such execution.
            InputsGoneError: its input files are no longer stored.
            ServiceError: as :meth:`create`.
        """
        earlier = await self._executions.find(caller, name)
        return await self.create(caller, again(earlier, version=version, key=key, missing=await self._missing(earlier)))

    async def _missing(self, execution: NotebookExecution) -> list[str]:
        missing = [item.name for item in execution.spec.inputs if not await self._results.exists(input_key(item.sha256))]
        request = execution.spec.request
        if request is not None and not await self._results.exists(request_key(request.sha256)):
            missing.append("REQUEST")
        return missing

    def _refused(self, error: ServiceError) -> None:
        self._metrics.refused.labels(error.stable_code).inc()


def again(
    earlier: NotebookExecution, *, version: Literal["same", "current"], key: str | None, missing: Sequence[str]
) -> CreateRequest:
    """What asks for an earlier execution once more. Pure.

    Args:
        earlier: the execution.
        version: whether the version that ran, or the one published now.
        key: idempotency key of the new request.
        missing: input files that are no longer stored.

    Raises:
        InputsGoneError: there are such.
    """
    if missing:
        raise InputsGoneError(missing)
    spec, resolved = earlier.spec, earlier.status.resolved
    ran = spec.notebook.version or (None if resolved is None else resolved.version)
    wanted = NotebookRef(name=spec.notebook.name, version=ran if version == "same" else None)
    labels = {name: value for name, value in earlier.metadata.labels.items() if not name.startswith(OWN_PREFIX)}
    return CreateRequest(spec.model_copy(update={"notebook": wanted, "cancel": False, "submitted_by": None}), labels, key=key)
