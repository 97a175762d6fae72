"""The door of annotated cells."""

from collections.abc import Sequence
from typing import Any

from podbook_api.doors.door import Door
from podbook_api.doors.http_notebooks.errors import answer
from podbook_api.doors.http_notebooks.routes import PREFIX, router
from podbook_api.doors.openapi import NotebookSchema
from podbook_api.doors.requests.credentials import BASIC, BEARER, X_API_KEY, authorization, query
from podbook_core.http_notebook.annotations import Endpoint
from podbook_core.http_notebook.documents import openapi_paths

__all__ = ["HTTP_NOTEBOOKS"]


def complete(document: dict[str, Any], notebooks: Sequence[NotebookSchema]) -> None:
    """Add the routes of every notebook that has some."""
    for item in notebooks:
        endpoints = [Endpoint(path, dict.fromkeys(methods, "")) for path, methods in item.endpoints]
        document["paths"].update(openapi_paths(endpoints, base=f"{PREFIX}/{item.name}", prefix=f"http_{item.slug}_"))


HTTP_NOTEBOOKS = Door(
    name="http",
    paths=(PREFIX,),
    problem=answer,
    credentials=(BEARER, X_API_KEY, authorization("token"), query("token", scheme="tokenInQuery"), BASIC),
    routers=(router,),
    head=False,
    openapi=complete,
)
