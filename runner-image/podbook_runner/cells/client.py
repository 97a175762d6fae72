"""nbclient on a kernel that is somebody else's, with an eye on the messages: what a notebook sends is untrusted."""

import sys
from typing import Any, cast

from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionComplete
from nbformat import NotebookNode

from podbook_core.text.json_depth import MAX_FILE_NESTING, nested_too_deeply
from podbook_runner.cells.mime_bundle import valid_bundle
from podbook_runner.cells.plan_run import PlanRun
from podbook_runner.kernel.session import KernelSession

if sys.version_info >= (3, 12):
    from typing import override
else:
    from typing_extensions import override

__all__ = ["CellClient"]

_IOPUB_SECONDS = 60
_MESSAGE_NESTING = MAX_FILE_NESTING - 10
"""So that the executed notebook, whose cells hold it, is none that could not be published again."""


class CellClient(NotebookClient):  # type: ignore[misc,unused-ignore] # a traitlets class
    """Runs the cells of one plan's document."""

    def __init__(self, run: PlanRun, session: KernelSession) -> None:
        super().__init__(run.notebook, km=cast("Any", _Attached()), iopub_timeout=_IOPUB_SECONDS, raise_on_iopub_timeout=True)
        self.kc = session
        self._run = run

    @override
    def process_message(self, msg: dict[str, Any], cell: NotebookNode, cell_index: int) -> NotebookNode | None:
        log = self._run.log
        kind, content = msg["msg_type"], msg["content"]
        if kind == "stream":
            log.stream(str(content.get("text", "")))
        elif kind in ("display_data", "update_display_data", "execute_result"):
            self._run.scraps.see(content)
            kept, dropped = valid_bundle(content.get("data"))
            for media_type in dropped:
                log.line(f"cell {cell_index} sent {media_type} in a form that a notebook cannot hold; it was left out")
            content = {**content, "data": kept}
            msg = {**msg, "content": content}
        if nested_too_deeply(content, _MESSAGE_NESTING):
            log.line(
                f"cell {cell_index} sent a message nested deeper than {_MESSAGE_NESTING} levels; it was left out of the notebook"
            )
            return None
        try:
            return super().process_message(msg, cell, cell_index)
        except CellExecutionComplete:
            raise
        except Exception as error:  # noqa: BLE001 - a notebook can send any message; the others still count
            log.line(f"cell {cell_index} sent a message that is not a valid output ({type(error).__name__}); it was left out")
            return None


class _Attached:
    """Stands where nbclient keeps its kernel manager: the kernel is somebody else's to start and to end."""

    has_kernel = True
