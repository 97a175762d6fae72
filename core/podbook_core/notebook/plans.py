"""Cell plans: which cells of a notebook run, in which order, and what is put between them. Pure.

A whole notebook is one plan; an HTTP request is another: the cells that set up, the request, the cells of its route. The one engine of the
runner runs them all. A plan knows cells by their index in the notebook as it was published.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from podbook_core.notebook.injection import INJECTED, injection_place, tags_of

__all__ = ["CellPlan", "Injected", "Place", "Role", "Step", "http_request", "whole_notebook"]

_ERROR_MARKER = "papermill-error-cell-tag"
"""papermill's tag of the cells that it puts around a failed one; a run of the notebook begins without those of an earlier one."""


class Role(StrEnum):
    """What a cell is run for."""

    PLAIN = "plain"
    """A cell of a notebook that is run as a whole."""
    SETUP = "setup"
    """Prepares the kernel; a warm worker runs it once, before the first call."""
    INJECTED = "injected"
    """Brings the parameters, or the request."""
    HANDLER = "handler"
    """Answers an HTTP request."""
    RESPONSE_INFO = "response-info"
    """Says status and headers of the answer."""


@dataclass(frozen=True, slots=True)
class Injected:
    """A code cell that is not the notebook's own."""

    source: str
    """What the kernel runs."""
    tag: str = INJECTED
    shown: str | None = None
    """What the executed notebook has in the place of the source, where that is nobody's business; None for the source itself."""


@dataclass(frozen=True, slots=True)
class Step:
    """One cell to run."""

    role: Role
    cell: int | None
    """Its index in the published notebook; None for a cell that is added."""
    injected: Injected | None = None
    """What is run in place of the cell's own source; always there where ``cell`` is None."""


@dataclass(frozen=True, slots=True)
class Place:
    """One cell of the executed notebook: from the published one, or added, or both where an added cell replaces a published one."""

    cell: int | None
    step: int | None
    """Index of the step that runs it; None where the plan does not."""


@dataclass(frozen=True, slots=True)
class CellPlan:
    """The cells to run, in this order."""

    steps: tuple[Step, ...]
    omitted: frozenset[int] = frozenset()
    """Cells of the published notebook that the executed one does not have."""

    def setup(self) -> "CellPlan":
        """The plan's part that a warm worker runs once."""
        return CellPlan(tuple(step for step in self.steps if step.role is Role.SETUP), self.omitted)

    def without_setup(self) -> "CellPlan":
        """The plan's part that is run for each call."""
        return CellPlan(tuple(step for step in self.steps if step.role is not Role.SETUP), self.omitted)

    def places(self, cells: int) -> list[Place]:
        """The executed notebook: the published cells in their order, each added one before the cell that is run after it.

        Args:
            cells: how many the published notebook has.
        """
        steps = {step.cell: number for number, step in enumerate(self.steps) if step.cell is not None}
        added: dict[int, list[Place]] = {}
        following = cells
        for number in reversed(range(len(self.steps))):
            cell = self.steps[number].cell
            if cell is None:
                added.setdefault(following, []).insert(0, Place(None, number))
            else:
                following = cell
        places: list[Place] = []
        for cell in range(cells):
            places.extend(added.get(cell, ()))
            if cell not in self.omitted:
                places.append(Place(cell, steps.get(cell)))
        return [*places, *added.get(cells, ())]


def whole_notebook(cells: Sequence[Mapping[str, Any]], parameters: str | None) -> CellPlan:
    """All cells, from the first to the last.

    Args:
        cells: of the published notebook, as :func:`podbook_core.notebook.file.inspect_notebook` accepts them.
        parameters: source of the cell with the parameters, in the notebook's language
            (:func:`podbook_core.notebook.injection.parameters_source` for Python); None for none.
    """
    omitted = _error_markers(cells)
    steps = [Step(Role.PLAIN, number) for number in range(len(cells)) if number not in omitted]
    if parameters is not None:
        place, replaces = injection_place(cells)
        injected = Step(Role.INJECTED, place if replaces else None, Injected(parameters))
        before = [step for step in steps if step.cell is not None and step.cell < place]
        after = [step for step in steps if step.cell is not None and step.cell >= place + replaces]
        steps = [*before, injected, *after]
    return CellPlan(tuple(steps), omitted)


def http_request(
    cells: Sequence[Mapping[str, Any]],
    *,
    setup: Iterable[int],
    request: Injected,
    handlers: Iterable[int],
    response_info: Iterable[int] = (),
) -> CellPlan:
    """An HTTP request to a notebook with annotated cells.

    Args:
        cells: of the published notebook, as :func:`podbook_core.notebook.file.inspect_notebook` accepts them.
        setup: the code cells without an annotation, in their order.
        request: assigns ``REQUEST``.
        handlers: the cells of the route, in their order.
        response_info: the cells that say status and headers, in their order.
    """
    return CellPlan(
        (
            *(Step(Role.SETUP, cell) for cell in setup),
            Step(Role.INJECTED, None, request),
            *(Step(Role.HANDLER, cell) for cell in handlers),
            *(Step(Role.RESPONSE_INFO, cell) for cell in response_info),
        ),
        _error_markers(cells),
    )


def _error_markers(cells: Sequence[Mapping[str, Any]]) -> frozenset[int]:
    return frozenset(number for number, cell in enumerate(cells) if _ERROR_MARKER in tags_of(cell))
