"""Which cells run, in which order, and where what is added goes."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.support.notebook_file import code_cell, markdown_cell

from podbook_core.notebook.plans import CellPlan, Injected, Place, Role, Step, http_request, whole_notebook

SOURCE = "# Parameters\nx = 2\n"
REQUEST = Injected('REQUEST = "secret"', tag="injected-request", shown="# GET /hello")


def order(plan: CellPlan) -> list[int | str]:
    """Indices of published cells in the order they run; what is injected by its source."""
    return [step.injected.source if step.injected is not None else -1 if step.cell is None else step.cell for step in plan.steps]


def shown(plan: CellPlan, cells: int) -> list[tuple[int | None, bool]]:
    """The executed notebook: each cell's index in the published one, and whether it is run."""
    return [(place.cell, place.step is not None) for place in plan.places(cells)]


def test_without_parameters_a_whole_notebook_is_its_cells() -> None:
    cells = [markdown_cell("# Title"), code_cell("x = 1", "parameters"), code_cell("x")]
    plan = whole_notebook(cells, None)
    assert order(plan) == [0, 1, 2]
    assert {step.role for step in plan.steps} == {Role.PLAIN}
    assert plan.places(3) == [Place(0, 0), Place(1, 1), Place(2, 2)]


@pytest.mark.parametrize(
    ("cells", "expected"),
    [
        ([markdown_cell("t"), code_cell("x = 1", "parameters"), code_cell("x")], [0, 1, SOURCE, 2]),
        ([code_cell("x = 1", "parameters")], [0, SOURCE]),
        ([code_cell("x")], [SOURCE, 0]),
        ([], [SOURCE]),
        ([code_cell("x = 1", "parameters"), code_cell("x = 7", "injected-parameters"), code_cell("x")], [0, SOURCE, 2]),
        ([code_cell("x"), code_cell("a", "parameters"), code_cell("b", "parameters")], [0, 1, SOURCE, 2]),
    ],
)
def test_the_parameters_go_after_the_tagged_cell_or_on_top_or_replace_earlier_ones(
    cells: list[dict[str, Any]], expected: list[int | str]
) -> None:
    plan = whole_notebook(cells, SOURCE)
    assert order(plan) == expected
    # Where cells run from top to bottom, the executed notebook has them as they run.
    assert [place.step for place in plan.places(len(cells))] == list(range(len(plan.steps)))


def test_a_replaced_cell_keeps_its_index() -> None:
    plan = whole_notebook([code_cell("x"), code_cell("x = 7", "injected-parameters")], SOURCE)
    assert plan.steps[1] == Step(Role.INJECTED, 1, Injected(SOURCE))


def test_markers_of_an_earlier_failure_are_no_cells_of_this_run_and_the_others_keep_their_index() -> None:
    marker = {**markdown_cell("An Exception was encountered"), "metadata": {"tags": ["papermill-error-cell-tag"]}}
    cells = [marker, code_cell("x = 1", "parameters"), marker, code_cell("x")]
    plan = whole_notebook(cells, SOURCE)
    assert order(plan) == [1, SOURCE, 3]
    assert shown(plan, 4) == [(1, True), (None, True), (3, True)]
    assert shown(http_request(cells, setup=[1], request=REQUEST, handlers=[3]), 4) == [(1, True), (None, True), (3, True)]


def test_a_request_runs_set_up_request_handlers_and_response_info_wherever_they_stand() -> None:
    cells = [
        code_cell("setup"),
        code_cell("# GET /hello"),
        markdown_cell("t"),
        code_cell("# ResponseInfo GET /hello"),
        code_cell("more"),
    ]
    plan = http_request(cells, setup=[0, 4], request=REQUEST, handlers=[1], response_info=[3])
    assert order(plan) == [0, 4, REQUEST.source, 1, 3]
    assert [step.role for step in plan.steps] == [Role.SETUP, Role.SETUP, Role.INJECTED, Role.HANDLER, Role.RESPONSE_INFO]
    assert plan.places(5) == [Place(0, 0), Place(None, 2), Place(1, 3), Place(2, None), Place(3, 4), Place(4, 1)]


def test_a_warm_worker_runs_set_up_once_and_the_rest_for_each_call() -> None:
    plan = http_request([code_cell("")] * 3, setup=[0, 2], request=REQUEST, handlers=[1])
    assert order(plan.setup()) == [0, 2]
    assert order(plan.without_setup()) == [REQUEST.source, 1]
    assert shown(plan.without_setup(), 3) == [(0, False), (None, True), (1, True), (2, False)]
    assert whole_notebook([code_cell("x")], None).setup().steps == ()


@given(st.data(), st.integers(0, 6))
def test_every_published_cell_and_every_step_has_one_place(data: st.DataObject, count: int) -> None:
    chosen = data.draw(st.permutations(range(count)))[: data.draw(st.integers(0, count))]
    steps = [Step(Role.PLAIN, cell) for cell in chosen]
    for _ in range(data.draw(st.integers(0, 3))):
        steps.insert(data.draw(st.integers(0, len(steps))), Step(Role.INJECTED, None, Injected(SOURCE)))
    places = CellPlan(tuple(steps)).places(count)
    assert [place.cell for place in places if place.cell is not None] == list(range(count))
    assert sorted(place.step for place in places if place.step is not None) == list(range(len(steps)))
    for place in places:
        assert place.cell is None or place.step is None or steps[place.step].cell == place.cell
