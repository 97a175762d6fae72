"""Addresses of Podbook's own API. Pure."""

from urllib.parse import quote, urlencode

from podbook_api.services.links import Link

__all__ = ["PREFIX", "execution_path", "link_url", "linked_artifact", "notebook_links"]

PREFIX = "/v1"


def execution_path(name: str) -> str:
    """Where an execution is."""
    return f"{PREFIX}/executions/{name}"


def link_url(link: Link) -> str:
    """The address of a signed link."""
    query = urlencode({"expires": link.expires, "uid": link.uid, "signature": link.signature})
    return f"{execution_path(link.execution)}/{quote(link.artifact)}?{query}"


def linked_artifact(path: str, execution: str) -> str:
    """The artifact of an execution that a path leads to, as :class:`Link` names it."""
    return path.partition(f"{execution_path(execution)}/")[2]


def notebook_links(name: str) -> dict[str, str]:
    """Where what belongs to a notebook is, by name."""
    base = f"{PREFIX}/notebooks/{name}"
    return {
        "self": base,
        "run": f"{PREFIX}/run/{name}",
        "executions": f"{base}/executions",
        "versions": f"{base}/versions",
        "openapi": f"{base}/openapi.json",
    }
