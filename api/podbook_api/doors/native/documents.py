"""The documents the API speaks: what callers send and get. The NotebookExecution's own parts come from the core model."""

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field
from pydantic.alias_generators import to_camel

from podbook_api.auth.links import MAX_LINK_SECONDS
from podbook_api.doors.native.paths import execution_path, notebook_links
from podbook_api.doors.requests.options import ExecutionOptions, Resource
from podbook_api.services.catalogue import Broken, Published
from podbook_core.execution.model import NotebookExecution, Resolved, Spec, Status
from podbook_core.store.keys import FILES_FOLDER

__all__ = [
    "CreateExecution",
    "DryRun",
    "ExecutionList",
    "ExecutionMetadata",
    "ExecutionResource",
    "FileEntry",
    "FileList",
    "LinkRequest",
    "NotebookList",
    "NotebookResource",
    "SignedLink",
    "VersionEntry",
    "VersionList",
    "execution_document",
    "execution_links",
    "notebook_resource",
]


class CreateExecution(ExecutionOptions):
    """A request to run a notebook. What is absent defaults to the contract, then to the profile."""

    parameters: Annotated[dict[str, Any], Field(description="Values of the notebook's parameters, by name.")] = {}


class ExecutionMetadata(BaseModel):
    """The part of Kubernetes' ObjectMeta that callers see."""

    model_config = ConfigDict(alias_generator=to_camel, populate_by_name=True)

    name: str
    namespace: str | None = None
    uid: str
    creation_timestamp: Annotated[str | None, Field(description="RFC 3339, UTC.")] = None
    labels: dict[str, str] = {}


class ExecutionResource(BaseModel):
    """One run of a notebook."""

    id: Annotated[str, Field(description="Name of the execution.")]
    metadata: ExecutionMetadata
    spec: Spec
    status: Status
    links: Annotated[dict[str, str], Field(description="Paths of related resources, by name.")] = {}


class ExecutionList(Resource):
    """One page of executions, newest first; without `spec.parameters` unless asked for with `view=full`."""

    items: list[ExecutionResource]
    next_cursor: Annotated[str | None, Field(description="Cursor of the next page; absent on the last one.")] = None


class DryRun(Resource):
    """What would run."""

    valid: Literal[True] = True
    resolved: Resolved


class NotebookResource(Resource):
    """A notebook of the catalogue."""

    name: str
    status: Annotated[Literal["ready", "broken"], Field(description="Whether it can be run.")]
    message: Annotated[str | None, Field(description="Why it cannot be run.")] = None
    version: Annotated[str | None, Field(description="Its current version.")] = None
    published: Annotated[str | None, Field(description="When this version was first published, RFC 3339.")] = None
    title: str | None = None
    description: str | None = None
    kernel: Annotated[str | None, Field(description="Name of its kernelspec.")] = None
    code_cells: Annotated[int | None, Field(description="Number of code cells.")] = None
    warnings: Annotated[list[str], Field(description="Warnings for the author; they do not keep the notebook from running.")] = []
    profile: Annotated[str | None, Field(description="Default profile.")] = None
    timeout_seconds: Annotated[int | None, Field(description="Default maximum run time.")] = None
    assets: Annotated[list[str], Field(description="Files placed in its working directory.")] = []
    input_schema: Annotated[dict[str, Any] | bool | None, Field(description="JSON Schema of its parameters.")] = None
    output_schema: Annotated[dict[str, Any] | bool | None, Field(description="JSON Schema of its output.")] = None
    links: dict[str, str] = {}


class NotebookList(Resource):
    """Every notebook the caller may see, by name."""

    items: list[NotebookResource]


class VersionEntry(Resource):
    """One stored version of a notebook."""

    version: Annotated[str, Field(description="SHA-256 of the version's content.")]
    published: Annotated[str, Field(description="When it was first published, RFC 3339.")]
    current: Annotated[bool, Field(description="Whether this is the version that runs by default.")]


class VersionList(Resource):
    """Versions of a notebook, newest first."""

    items: list[VersionEntry]
    next_cursor: Annotated[str | None, Field(description="Cursor of the next page; absent on the last one.")] = None


class FileEntry(Resource):
    """A file the notebook published."""

    path: Annotated[str, Field(description="Path below $PODBOOK_OUTPUT_DIR.")]
    size: Annotated[int, Field(description="Size in bytes.")]
    sha256: str
    media_type: str
    href: Annotated[str, Field(description="Path of the file in this API.")]


class FileList(Resource):
    """Every file the notebook published."""

    items: list[FileEntry]


class LinkRequest(Resource):
    """The artifact that a signed link opens."""

    artifact: Annotated[
        str,
        Field(
            pattern=r"^(html|report|notebook|output|logs|events|files/[^\x00-\x1f\x7f\\]{1,500})$",
            description="html, report, notebook, output, logs, events, or files/<path>.",
            examples=["html"],
        ),
    ]
    expires_in_seconds: Annotated[int, Field(ge=1, le=MAX_LINK_SECONDS, description="How long the link is valid.")] = (
        MAX_LINK_SECONDS
    )


class SignedLink(Resource):
    """A link that works without a key."""

    url: Annotated[str, Field(description="Path with its signature.")]
    expires: AwareDatetime


def execution_links(execution: NotebookExecution) -> dict[str, str]:
    """Paths of what belongs to an execution; results only where there are any."""
    base = execution_path(execution.name)
    links = {"self": base, "events": f"{base}/events", "logs": f"{base}/logs"}
    results = execution.status.results
    if results is not None:
        for name in ("output", "html", "report", "notebook"):
            if getattr(results, name) is not None:
                links[name] = f"{base}/{name}"
        links[FILES_FOLDER.rstrip("/")] = f"{base}/files"
    if not execution.status.terminal:
        links["cancel"] = f"{base}/cancel"
    return links


def execution_document(execution: NotebookExecution, *, parameters: bool = True) -> dict[str, Any]:
    """An execution as callers see it (:class:`ExecutionResource` as plain JSON data), with its parameters or without."""
    document = execution.document()
    metadata = document["metadata"]
    if not parameters:
        document["spec"].pop("parameters", None)
    return {
        "id": execution.name,
        "metadata": {
            key: metadata[key]
            for key in ("name", "namespace", "uid", "creationTimestamp", "labels")
            if metadata.get(key) is not None
        },
        "spec": document["spec"],
        "status": document["status"],
        "links": execution_links(execution),
    }


def notebook_resource(found: Published | Broken, *, clash: str | None = None) -> NotebookResource:
    """A notebook as callers see it: what it takes and gives, or why it cannot be served. ``clash`` is a further warning."""
    if isinstance(found, Broken):
        return NotebookResource(
            name=found.name, status="broken", message=found.problem, links={"self": notebook_links(found.name)["self"]}
        )
    version, info = found.version, found.info
    contract = version.contract
    return NotebookResource(
        name=version.name,
        status="broken" if found.problem else "ready",
        message=found.problem,
        version=version.version,
        published=version.published,
        title=contract.title or (info.title if info else None),
        description=contract.description,
        kernel=info.kernel if info else None,
        code_cells=info.code_cells if info else None,
        warnings=[*(info.warnings if info else ()), *([clash] if clash else ())],
        profile=contract.profile,
        timeout_seconds=contract.timeout_seconds,
        assets=list(version.asset_paths),
        input_schema=_plain(contract.input),
        output_schema=_plain(contract.output),
        links=notebook_links(version.name),
    )


def _plain(schema: Mapping[str, object] | bool | None) -> dict[str, object] | bool | None:
    return dict(schema) if isinstance(schema, Mapping) else schema
