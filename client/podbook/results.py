"""The results of an execution, as the client reads them."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.parse import quote, urljoin

from podbook.errors import UnexpectedAnswerError
from podbook.execution import File
from podbook.transport import Request, Transport, answer_json

__all__ = ["Results", "items", "read_json", "segment"]


class Results:
    """Reads what executions left. Of one that has not ended: NotFinishedError, except for the logs; of a failed one's output: ProblemError.

    Args:
        transport: the server.
    """

    def __init__(self, transport: Transport) -> None:
        self._transport = transport

    def output(self, execution: str, /) -> Any:
        """The output as JSON data, None when the notebook saved none."""
        return read_json(self._transport, f"/v1/executions/{segment(execution)}/output")

    def html(self, execution: str, /) -> str:
        """The executed notebook as one HTML page. Treat it as untrusted: notebooks may put anything into it."""
        return self._bytes(execution, "html").decode()

    def report(self, execution: str, /) -> str:
        """The HTML page without the cells' code. Untrusted as :meth:`html`."""
        return self._bytes(execution, "report").decode()

    def notebook(self, execution: str, /) -> bytes:
        """The executed notebook, as far as it ran (``.ipynb``)."""
        return self._bytes(execution, "notebook")

    def logs(self, execution: str, /) -> str:
        """What the cells printed, its last MiB; of a running execution, so far."""
        return self._bytes(execution, "logs").decode(errors="replace")

    def files(self, execution: str, /) -> tuple[File, ...]:
        """The files the notebook wrote to ``$PODBOOK_OUTPUT_DIR``."""
        answer = read_json(self._transport, f"/v1/executions/{segment(execution)}/files")
        return tuple(
            File(str(item.get("path", "")), int(item.get("size", 0)), str(item.get("mediaType", "")), item.get("sha256"))
            for item in items(answer)
        )

    def file(self, execution: str, path: str, /) -> bytes:
        """One of these files."""
        return self._bytes(execution, f"files/{path}")

    def artifact(self, execution: str, artifact: str, /) -> bytes:
        """Any artifact as it is stored: ``html``, ``report``, ``notebook``, ``output``, ``logs`` or ``files/<path>``."""
        return self._bytes(execution, artifact)

    def download(self, execution: str, artifact: str, target: Path, /) -> None:
        """Write an artifact (``html``, ``report``, ``notebook``, ``output``, ``logs``, ``files/<path>``) to a file, whole or not at all."""
        self._transport.download(self._artifact(execution, artifact), target)

    def link(self, execution: str, artifact: str = "html", /, *, expires_in: int = 900) -> str:
        """A URL that shows one artifact without a key, for at most 900 seconds: for browsers, which cannot send keys."""
        body = {"artifact": artifact, "expiresInSeconds": expires_in}
        answer = answer_json(self._transport.send(Request("POST", f"/v1/executions/{segment(execution)}/links", json=body)))
        return urljoin(self._transport.url + "/", str(answer["url"]))

    def _artifact(self, execution: str, artifact: str) -> Request:
        return Request("GET", f"/v1/executions/{segment(execution)}/{quote(artifact)}", headers={"Accept": "*/*"})

    def _bytes(self, execution: str, artifact: str) -> bytes:
        return self._transport.send(self._artifact(execution, artifact)).content


def read_json(transport: Transport, path: str, *, params: Any = ()) -> Any:
    """The JSON document at a path. Raises as :meth:`Transport.send`."""
    return answer_json(transport.send(Request("GET", path, params=params)))


def segment(text: str) -> str:
    """A name as one segment of a path, whatever is in it."""
    return quote(text, safe="")


def items(answer: Any) -> list[Mapping[str, Any]]:
    """The entries of a list the server sent.

    Raises:
        UnexpectedAnswerError: it is not a list.
    """
    found = answer.get("items") if isinstance(answer, dict) else answer
    if not isinstance(found, list):
        raise UnexpectedAnswerError("the server's answer is not a list; check the address")
    return [item for item in found if isinstance(item, dict)]
