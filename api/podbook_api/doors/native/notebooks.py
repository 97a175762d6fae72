"""Notebooks: listed, read, published, removed."""

from functools import partial
from typing import Annotated, Any

from fastapi import APIRouter, Header, Query, Request, Response
from fastapi.responses import JSONResponse

from podbook_api.doors.dependencies import CallerDep, DocumentsDep, NotebookName, ServicesDep, failures, unread
from podbook_api.doors.door import entry_of
from podbook_api.doors.native.documents import NotebookList, NotebookResource, VersionEntry, VersionList, notebook_resource
from podbook_api.doors.native.openapi import one_notebook
from podbook_api.doors.native.paths import PREFIX
from podbook_api.doors.openapi import NotebookSchema
from podbook_api.doors.problems import Code, ProblemError
from podbook_api.doors.requests.bodies import is_json
from podbook_api.doors.requests.body_stream import limits_of, media_type_of, read_body
from podbook_api.doors.requests.forms import form_parts
from podbook_api.services.catalogue import Broken, Published
from podbook_api.services.publication import Submission
from podbook_core.notebook.identity import clashing_ids
from podbook_core.notebook.versions import Asset

__all__ = ["notebook_etag", "router"]

router = APIRouter(prefix="/v1/notebooks", tags=["notebooks"])
MAX_ASSET_FILES = 1000
_BINARY = {"type": "string", "format": "binary"}
_PUBLISH_BODY: dict[str, Any] = {
    "requestBody": {
        "required": True,
        "content": {
            "application/x-ipynb+json": {"schema": {"type": "object", "additionalProperties": True}},
            "multipart/form-data": {
                "schema": {
                    "type": "object",
                    "required": ["notebook"],
                    "properties": {
                        "notebook": {**_BINARY, "description": "The .ipynb file."},
                        "contract": {**_BINARY, "description": "The .config.json file."},
                        "assets": {
                            "type": "array",
                            "items": _BINARY,
                            "description": "Asset files; each part's file name is its path relative to the notebook.",
                        },
                        "models": {
                            "type": "array",
                            "items": _BINARY,
                            "description": "JSON Schemas the contract names as nbschema://x; the part's file name is x.json.",
                        },
                    },
                }
            },
        },
    }
}


@router.get(
    "",
    operation_id="list_notebooks",
    summary="List notebooks",
    response_model=None,
    responses={200: {"model": NotebookList, "description": "The notebooks"}, **failures()},
)
async def list_notebooks(request: Request, caller: CallerDep, parts: ServicesDep) -> Response:
    """List every notebook the caller may see, with its schemas; broken ones with the reason."""
    items = await parts.notebooks.listing(caller)
    clashes = clashing_ids([item.version for item in items if isinstance(item, Published)])
    for name in entry_of(request.scope).taken & {item.name for item in items}:
        clashes[name] = f"at the root, /{name} belongs to another address, so this notebook cannot be called there"
    return JSONResponse({"items": [_document(item, clash=clashes.get(item.name)) for item in items]})


def notebook_etag(version: str) -> str:
    """The entity tag of a notebook: its current version, quoted."""
    return f'"{version}"'


def _document(found: Published | Broken, *, clash: str | None = None) -> dict[str, Any]:
    return notebook_resource(found, clash=clash).model_dump(mode="json", by_alias=True, exclude_none=True)


@router.get(
    "/{notebook}",
    operation_id="get_notebook",
    summary="Read a notebook",
    response_model=None,
    responses={
        200: {"model": NotebookResource, "description": "The notebook"},
        304: {"description": "Not modified since If-None-Match"},
        **failures(404, 412),
    },
)
async def get_notebook(notebook: NotebookName, request: Request, caller: CallerDep, parts: ServicesDep) -> Response:
    """Read a notebook's schemas and its current version. The ETag is that version."""
    found = await parts.notebooks.look(caller, notebook)
    if isinstance(found, Broken):
        return JSONResponse(_document(found))
    etag = notebook_etag(found.version.version)
    headers = {"ETag": etag, "Cache-Control": "private, no-cache"}
    return unread(request, etag, headers["Cache-Control"]) or JSONResponse(_document(found), headers=headers)


@router.put(
    "/{notebook}",
    operation_id="publish_notebook",
    summary="Publish a notebook",
    response_model=None,
    openapi_extra=_PUBLISH_BODY,
    responses={
        200: {"model": NotebookResource, "description": "Published, replacing another version (or the same one)"},
        201: {"model": NotebookResource, "description": "Published for the first time"},
        **failures(400, 409, 412, 413, 415),
    },
)
async def publish_notebook(
    *,
    notebook: NotebookName,
    request: Request,
    caller: CallerDep,
    parts: ServicesDep,
    if_match: Annotated[str | None, Header(description="Publish only if the current version has this ETag.")] = None,
    if_none_match: Annotated[str | None, Header(description="`*`: publish only if the notebook does not exist yet.")] = None,
) -> Response:
    """Publish a notebook, with contract and assets if there are any, and make it the current version.

    The body is the notebook alone, or a form with the parts notebook, contract, assets and models.
    """
    parts.notebooks.permit_writing(caller, notebook)
    if if_none_match is not None and if_none_match.strip() != "*":
        raise ProblemError(
            422, Code.INVALID_REQUEST, "If-None-Match must be * here: publish only if the notebook does not exist yet"
        )
    expected = None if if_match is None else "*" if if_match.strip() == "*" else if_match.strip().removeprefix("W/").strip('"')
    submission = await _read_submission(request)
    found, new = await parts.notebooks.publish(
        caller, notebook, submission, if_match=expected, if_none_match=if_none_match is not None
    )
    headers = {"ETag": notebook_etag(found.version.version)}
    if new:
        headers["Location"] = f"{PREFIX}/notebooks/{notebook}"
    return JSONResponse(_document(found), status_code=201 if new else 200, headers=headers)


async def _read_submission(request: Request) -> Submission:
    media_type, limit = media_type_of(request), limits_of(request).upload
    if is_json(media_type):
        return Submission(await read_body(request, limit))
    if media_type != "multipart/form-data":
        raise ProblemError(
            415,
            Code.UNSUPPORTED_MEDIA_TYPE,
            f"{media_type} is not supported here; send application/x-ipynb+json or multipart/form-data",
        )
    parts: dict[str, list[tuple[str, bytes]]] = {}
    async for part, content in form_parts(request, limit=limit, max_files=MAX_ASSET_FILES):
        parts.setdefault(part.name, []).append((part.filename or "", b"".join([chunk async for chunk in content])))
    if unknown := sorted(set(parts) - {"notebook", "contract", "assets", "models"}):
        raise ProblemError(
            422,
            Code.INVALID_REQUEST,
            f"the form has unknown parts ({', '.join(unknown)[:200]}); known are notebook, contract, assets and models",
        )
    for name in ("notebook", "contract"):
        if len(parts.get(name, ())) > 1:
            raise ProblemError(422, Code.INVALID_REQUEST, f"the form has more than one part {name}")
    if "notebook" not in parts:
        raise ProblemError(422, Code.INVALID_REQUEST, "the form has no part notebook, which must be the .ipynb file")
    contract = parts.get("contract")
    return Submission(
        notebook=parts["notebook"][0][1],
        contract=contract[0][1] if contract else None,
        assets=tuple(Asset(path, data) for path, data in parts.get("assets", ())),
        models={path.rpartition("/")[2].removesuffix(".json"): data for path, data in parts.get("models", ())},
    )


@router.delete(
    "/{notebook}",
    operation_id="unpublish_notebook",
    summary="Unpublish a notebook",
    status_code=204,
    response_model=None,
    responses={204: {"description": "It is no longer published"}, **failures(404, 409)},
)
async def unpublish_notebook(notebook: NotebookName, caller: CallerDep, parts: ServicesDep) -> Response:
    """Unpublish a notebook. Waiting executions still run, and results are kept."""
    await parts.notebooks.unpublish(caller, notebook)
    return Response(status_code=204)


@router.get(
    "/{notebook}/versions",
    operation_id="list_versions",
    summary="List a notebook's versions",
    response_model=None,
    responses={200: {"model": VersionList, "description": "The versions"}, **failures(400, 404)},
)
async def list_versions(
    *,
    notebook: NotebookName,
    caller: CallerDep,
    parts: ServicesDep,
    limit: Annotated[int, Query(ge=1, le=1000, description="Maximum number of items in a page.")] = 200,
    cursor: Annotated[str | None, Query(max_length=500, description="nextCursor of the previous page.")] = None,
) -> Response:
    """List the stored versions of a notebook, newest first."""
    page = await parts.notebooks.versions(caller, notebook, limit=limit, cursor=cursor)
    items = [VersionEntry(version=item.version, published=item.published, current=item.current) for item in page.items]
    found = VersionList(items=items, next_cursor=page.next_cursor)
    return JSONResponse(found.model_dump(mode="json", by_alias=True, exclude_none=True))


@router.get(
    "/{notebook}/openapi.json",
    operation_id="get_notebook_openapi",
    summary="The OpenAPI document of one notebook",
    response_model=None,
    responses={
        200: {"description": "An OpenAPI 3.1 document", "content": {"application/json": {"schema": {}}}},
        **failures(404, 409),
    },
)
async def get_notebook_openapi(notebook: NotebookName, caller: CallerDep, parts: ServicesDep, documents: DocumentsDep) -> Response:
    """Read the OpenAPI document of one notebook: how to call it, and how to read its executions."""
    await parts.notebooks.look(caller, notebook)
    schema = NotebookSchema.of(await parts.notebooks.current(notebook))
    return Response(documents.of(schema, partial(one_notebook, schema)), media_type="application/json")
