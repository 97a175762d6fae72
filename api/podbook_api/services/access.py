"""Who reads an execution, and whether they still may: a stream outlives the request that was checked."""

from collections.abc import Callable
from dataclasses import dataclass

from podbook_api.auth.keys import Caller
from podbook_core.execution.model import NotebookExecution

__all__ = ["Access"]


@dataclass(frozen=True, slots=True)
class Access:
    """Access by a key or by a signed link."""

    caller: Caller
    holder: str
    """Whose streams are counted together: a key's, those of links to one execution, those of callers without keys."""
    holds: Callable[[NotebookExecution], bool]
    """Whether the execution may be read now, with the key or the link that was presented."""
