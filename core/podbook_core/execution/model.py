"""NotebookExecution: the one object behind both doors, as REST resource and as custom resource ``podbook.dev/v1alpha1``.

The custom resource definition is generated from these models, so that both are the same thing. Names and meanings follow the
Kubernetes API conventions; times are RFC 3339 in UTC.
"""

from datetime import UTC, datetime
from enum import StrEnum
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, PlainSerializer, model_validator
from pydantic.alias_generators import to_camel

from podbook_core import API_GROUP, API_VERSION, KIND
from podbook_core.execution.deadlines import DEFAULT_QUEUE_TIMEOUT, DEFAULT_START_TIMEOUT
from podbook_core.execution.reasons import Phase, Reason, is_terminal, known_reason, phase_of
from podbook_core.text.json_depth import MAX_NESTING, nested_too_deeply
from podbook_core.text.names import EXECUTION_NAME, NOTEBOOK_NAME
from podbook_core.text.times import rfc3339

__all__ = [
    "ATTEMPTS_LIMIT",
    "MAX_PARAMETERS_BYTES",
    "Condition",
    "ErrorInfo",
    "InputFile",
    "Metadata",
    "NotebookExecution",
    "NotebookRef",
    "Observation",
    "Outputs",
    "Progress",
    "Resolved",
    "Results",
    "Spec",
    "Status",
]

MAX_PARAMETERS_BYTES = 256 * 1024
"""Largest canonical JSON of ``spec.parameters``. A schema cannot express it, so API (413) and operator (InvalidParameters) do."""
ATTEMPTS_LIMIT = 5
"""Attempts in all, whatever they ended by."""
_SHA256 = r"^[0-9a-f]{64}$"
_REASONS = frozenset(Reason)


def _shallow(value: dict[str, Any]) -> dict[str, Any]:
    if nested_too_deeply(value):
        raise ValueError(f"nested deeper than {MAX_NESTING} levels")
    return value


def _aware(value: datetime) -> datetime:
    return value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)


Time = Annotated[datetime, AfterValidator(_aware), PlainSerializer(rfc3339, return_type=str, when_used="json")]
"""A moment, in UTC; serialised as RFC 3339 with ``Z``."""


class Document(BaseModel):
    """Base of every part: camelCase outside, snake_case inside, unknown fields refused."""

    model_config = ConfigDict(
        alias_generator=to_camel,
        populate_by_name=True,
        extra="forbid",
        frozen=True,
        json_schema_serialization_defaults_required=False,
    )

    def document(self) -> dict[str, Any]:
        """The part as plain JSON data, without what is unset."""
        return self.model_dump(mode="json", by_alias=True, exclude_none=True)


class Observation(Document):
    """Base of what Podbook itself wrote: what a newer version added is passed over, so that a rollback can read it."""

    model_config = ConfigDict(extra="ignore")


class NotebookRef(Document):
    """Which notebook to run."""

    name: Annotated[str, Field(pattern=f"^{NOTEBOOK_NAME}$", max_length=63, description="Name of a published notebook.")]
    version: Annotated[
        str | None,
        Field(pattern=_SHA256, max_length=64, description="Version to run; the current one when absent."),
    ] = None


class InputFile(Document):
    """A file the caller uploaded before the execution was created; it lies in the store under ``inputs/<sha256>``."""

    name: Annotated[
        str,
        Field(
            pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,127}$",
            max_length=128,
            description="File name in $PODBOOK_INPUT_DIR.",
        ),
    ]
    sha256: Annotated[str, Field(pattern=_SHA256, max_length=64, description="SHA-256 of the content, hexadecimal.")]
    size: Annotated[int, Field(ge=0, le=5 * 1024**3, description="Size in bytes.")]
    media_type: Annotated[str, Field(max_length=128, description="Media type as sent by the caller.")] = "application/octet-stream"


class OnViolation(StrEnum):
    """What an output that breaks its contract means."""

    FAIL = "Fail"
    REPORT = "Report"


class Outputs(Document):
    """Which pages are rendered, and what happens to an output that violates its contract."""

    html: Annotated[bool, Field(description="Render the notebook as HTML.")] = True
    report: Annotated[bool, Field(description="Render the HTML without inputs as well.")] = True
    violation: Annotated[
        OnViolation | None,
        Field(
            description="What happens when an output violates its contract: `Fail`, as when absent, ends the run as InvalidOutput; with "
            "`Report` it succeeds, the output is served, and the condition OutputValid is False."
        ),
    ] = None


class HttpCall(Document):
    """An HTTP request that annotated cells of the notebook answer. What it said is in the store, and not here."""

    method: Annotated[Literal["GET", "PUT", "POST", "DELETE"], Field(description="Its method.")]
    route: Annotated[
        str, Field(pattern="^/", max_length=1024, description="The path as the notebook writes it, such as `/people/:index`.")
    ]
    path: Annotated[str, Field(pattern="^/", max_length=2048, description="The path of the request, for people.")]
    sha256: Annotated[
        str,
        Field(
            pattern="^[0-9a-f]{64}$",
            max_length=64,
            description="SHA-256 of REQUEST, the text that the cells read; it is removed from the store an hour after it was sent, at the next sweep.",
        ),
    ]


class Spec(Document):
    """The desired execution. Immutable except ``cancel`` (false to true) and ``ttlSecondsAfterFinished``."""

    notebook: NotebookRef
    parameters: Annotated[
        dict[str, Any],
        AfterValidator(_shallow),
        Field(description="Values of the notebook's parameters; checked against its contract. At most 256 KiB as JSON."),
    ] = {}
    inputs: Annotated[list[InputFile], Field(max_length=32, description="Input files, uploaded beforehand.")] = []
    profile: Annotated[
        str | None,
        Field(
            pattern=r"^[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?$",
            max_length=63,
            description="One of the profiles the administrator offers. Defaults to the contract's, else `default`.",
        ),
    ] = None
    timeout_seconds: Annotated[
        int | None,
        Field(ge=1, le=259200, description="Maximum run time. Defaults to the contract's, else the profile's."),
    ] = None
    queue_timeout_seconds: Annotated[
        int | None, Field(ge=1, le=604800, description=f"Maximum wait for a free slot. Defaults to {DEFAULT_QUEUE_TIMEOUT}.")
    ] = None
    start_timeout_seconds: Annotated[
        int | None, Field(ge=1, le=3600, description=f"Maximum wait for the pod to start. Defaults to {DEFAULT_START_TIMEOUT}.")
    ] = None
    retries: Annotated[
        int | None,
        Field(ge=0, le=4, description="Further attempts after a platform fault. Defaults to 0."),
    ] = None
    ttl_seconds_after_finished: Annotated[
        int | None,
        Field(
            ge=0,
            le=2592000,
            description="How long the resource is kept after the execution ends; the record stays in the store.",
        ),
    ] = None
    cancel: Annotated[bool, Field(description="Set to true to cancel; cannot be set back to false.")] = False
    outputs: Outputs = Outputs()
    request: Annotated[
        HttpCall | None,
        Field(
            description="The request to answer, instead of running the whole notebook; parameters and contract are then ignored."
        ),
    ] = None
    submitted_by: Annotated[str | None, Field(max_length=128, description="Id of the API key that created the execution.")] = None


class Progress(Observation):
    """How far the notebook is, in code cells of the notebook as it was published: Markdown and the injected parameters do not count."""

    completed: Annotated[int, Field(ge=0, le=1000000, description="Code cells that have ended.")]
    total: Annotated[int, Field(ge=0, le=1000000, description="Total number of code cells.")]


class Resolved(Observation):
    """What was resolved when the execution was accepted; exactly this runs."""

    version: Annotated[str, Field(max_length=64, description="Version of the notebook.")]
    parameters_digest: Annotated[str, Field(max_length=64, description="SHA-256 of the canonical JSON of the parameters.")]
    image: Annotated[str | None, Field(max_length=512, description="Container image; absent in embedded mode.")] = None
    profile: Annotated[str, Field(max_length=63, description="Profile.")]
    timeout_seconds: Annotated[int, Field(ge=1, le=259200, description="Maximum run time.")]


class Results(Observation):
    """Keys in the store, never content. Absent where there is nothing."""

    notebook: Annotated[str | None, Field(max_length=512, description="The executed notebook.")] = None
    html: Annotated[str | None, Field(max_length=512, description="The notebook as HTML.")] = None
    report: Annotated[str | None, Field(max_length=512, description="The HTML without inputs.")] = None
    output: Annotated[str | None, Field(max_length=512, description="The output, as JSON.")] = None
    log: Annotated[str | None, Field(max_length=512, description="The log: what the cells printed.")] = None
    record: Annotated[str | None, Field(max_length=512, description="The record.")] = None


class ErrorInfo(Observation):
    """Where the notebook failed."""

    cell: Annotated[
        int | None,
        Field(
            ge=0,
            le=1000000,
            description="Index of the cell in the notebook as it was published, Markdown cells included, from 0; "
            "absent where none of its cells failed, such as in the injected parameters.",
        ),
    ] = None
    ename: Annotated[str, Field(max_length=256, description="Name of the exception.")]
    evalue: Annotated[str, Field(max_length=1024, description="Its message, shortened.")]


class Condition(Observation):
    """One condition (Kubernetes API conventions, `metav1.Condition`)."""

    type: Annotated[
        str,
        Field(
            max_length=64,
            description="Accepted, Started, ResultsStored, Finished or Succeeded; PagesRendered where HTML was asked for and tried.",
        ),
    ]
    status: Annotated[Literal["True", "False", "Unknown"], Field(description="True, False or Unknown.")]
    reason: Annotated[str, Field(max_length=64, description="The cause, as one CamelCase word.")]
    message: Annotated[str, Field(max_length=1024, description="The cause, as a sentence.")] = ""
    last_transition_time: Annotated[Time, Field(description="When the status last changed.")]
    observed_generation: Annotated[
        int | None, Field(ge=0, description="Generation of the resource that the condition was derived from.")
    ] = None


class Status(Observation):
    """The observed state. At most 16 KiB: no outputs, tracebacks or logs."""

    observed_generation: Annotated[
        int | None, Field(ge=0, description="Generation of the resource that the status was derived from.")
    ] = None
    phase: Annotated[Phase, Field(description="Derived from the reason, for columns and filters.")] = Phase.PENDING
    reason: Annotated[Reason, Field(description="Current step, or why it ended.")] = Reason.PENDING
    message: Annotated[str, Field(max_length=1024, description="The reason in a sentence.")] = ""
    attempts: Annotated[int, Field(ge=0, le=100, description="Number of attempts started.")] = 0
    job_name: Annotated[str | None, Field(max_length=63, description="Its Job.")] = None
    job_uid: Annotated[str | None, Field(alias="jobUID", max_length=64, description="UID of its Job.")] = None
    pod_name: Annotated[str | None, Field(max_length=253, description="The newest attempt's pod.")] = None
    queued_time: Annotated[Time | None, Field(description="When it was accepted.")] = None
    start_time: Annotated[Time | None, Field(description="When the newest attempt started to run.")] = None
    completion_time: Annotated[Time | None, Field(description="When it ended.")] = None
    duration_seconds: Annotated[float | None, Field(ge=0, description="From start to end, in seconds.")] = None
    progress: Progress | None = None
    resolved: Resolved | None = None
    results: Results | None = None
    error: ErrorInfo | None = None
    conditions: Annotated[list[Condition], Field(max_length=16)] = []

    @model_validator(mode="before")
    @classmethod
    def _of_a_newer_version(cls, raw: Any) -> Any:
        """A reason that this version does not know is replaced by one it knows, and told in the message."""
        reason = raw.get("reason") if isinstance(raw, dict) else None
        if not isinstance(reason, str) or reason in _REASONS:
            return raw
        phase = raw.get("phase")
        known = known_reason(reason, phase if isinstance(phase, str) else None)
        message = f"{reason} (a reason unknown to this version): {raw.get('message') or ''}"
        return {**raw, "reason": known, "phase": phase_of(known), "message": message[:1024]}

    @property
    def terminal(self) -> bool:
        """Whether it has ended for good."""
        return is_terminal(self.reason)

    @property
    def results_stored(self) -> bool:
        """Whether its record is in the store."""
        stored = self.condition("ResultsStored")
        return stored is not None and stored.status == "True"

    def condition(self, kind: str) -> Condition | None:
        """The condition of that type."""
        return next((item for item in self.conditions if item.type == kind), None)


class Metadata(BaseModel):
    """The part of Kubernetes' ObjectMeta that Podbook reads; the rest passes unread."""

    model_config = ConfigDict(alias_generator=to_camel, populate_by_name=True, extra="ignore", frozen=True)

    name: Annotated[str, Field(pattern=f"^{EXECUTION_NAME}$", max_length=63)]
    namespace: str | None = None
    uid: str = ""
    resource_version: str | None = None
    generation: int | None = None
    creation_timestamp: Time | None = None
    deletion_timestamp: Time | None = None
    labels: dict[str, str] = {}
    annotations: dict[str, str] = {}


class NotebookExecution(Document):
    """One run of a notebook."""

    model_config = ConfigDict(title=KIND)

    api_version: Literal["podbook.dev/v1alpha1"] = f"{API_GROUP}/{API_VERSION}"  # type: ignore[assignment] # the literal
    kind: Literal["NotebookExecution"] = KIND  # type: ignore[assignment] # is spelled out for the type checker
    metadata: Metadata
    spec: Spec
    status: Status = Status()

    @property
    def name(self) -> str:
        """``metadata.name``: the id in REST."""
        return self.metadata.name

    @property
    def uid(self) -> str:
        """``metadata.uid``: the id in the store."""
        return self.metadata.uid

    @property
    def created(self) -> datetime:
        """When it was created; the epoch where unknown."""
        return self.metadata.creation_timestamp or datetime.fromtimestamp(0, UTC)

    def with_status(self, status: Status) -> "NotebookExecution":
        """The same execution in another state."""
        return self.model_copy(update={"status": status})

    def without_parameters(self) -> "NotebookExecution":
        """What caches and lists keep: neither parameters, which take up to 25 times the size of their JSON, nor others' annotations."""
        annotations = {key: text for key, text in self.metadata.annotations.items() if key.partition("/")[0].endswith(API_GROUP)}
        return self.model_copy(
            update={
                "metadata": self.metadata.model_copy(update={"annotations": annotations}),
                "spec": self.spec.model_copy(update={"parameters": {}}),
            }
        )

    def with_parameters(self, parameters: dict[str, Any]) -> "NotebookExecution":
        """The same execution with the parameters that were left out of it: they never change."""
        return self.model_copy(update={"spec": self.spec.model_copy(update={"parameters": parameters})})
