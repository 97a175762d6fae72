"""Who starts next: fair by submitter, then oldest first."""

from datetime import UTC, datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from podbook_core.execution.admission import Waiting, next_to_start

START = datetime(2030, 1, 1, tzinfo=UTC)


def waits(name: str, submitter: str | None, second: int) -> Waiting:
    return Waiting(name, submitter, START + timedelta(seconds=second), uid=name)


def names(chosen: list[Waiting]) -> list[str]:
    return [item.name for item in chosen]


def test_the_oldest_comes_first() -> None:
    waiting = [waits("late", "a", 2), waits("early", "a", 1), waits("later", "a", 3)]
    assert names(next_to_start(waiting, [], 2)) == ["early", "late"]


def test_one_of_many_submitters_does_not_wait_for_a_thousand_of_another() -> None:
    flood = [waits(f"flood-{number:04d}", "a", number) for number in range(1000)]
    assert names(next_to_start([*flood, waits("single", "b", 5000)], [], 2)) == ["flood-0000", "single"]


def test_what_runs_already_counts() -> None:
    waiting = [waits("a-1", "a", 1), waits("b-1", "b", 2), waits("none-1", None, 3)]
    assert names(next_to_start(waiting, ["a", "a", "b"], 5)) == ["none-1", "b-1"]


def test_nothing_starts_without_a_free_slot() -> None:
    assert next_to_start([waits("one", "a", 1)], ["b", "b"], 2) == []
    assert next_to_start([waits("one", "a", 1)], ["b", "b", "b"], 2) == []


_SUBMITTERS = st.sampled_from(["a", "b", "c", None])


@given(
    st.lists(st.tuples(_SUBMITTERS, st.integers(0, 5)), max_size=30),
    st.lists(_SUBMITTERS, max_size=8),
    st.integers(0, 12),
)
def test_slots_are_filled_exactly_and_nobody_is_chosen_twice(
    drawn: list[tuple[str | None, int]], running: list[str | None], limit: int
) -> None:
    waiting = [waits(f"n{number}", submitter, second) for number, (submitter, second) in enumerate(drawn)]
    chosen = next_to_start(waiting, running, limit)
    assert len(chosen) == min(len(waiting), max(0, limit - len(running)))
    assert len(set(names(chosen))) == len(chosen)
    left = [item for item in waiting if item not in chosen]
    for item in left:
        for other in chosen:
            if other.submitter == item.submitter:
                assert (other.created, other.uid) < (item.created, item.uid)
    held = [*running, *(item.submitter for item in chosen)]
    for item in left:
        for other in chosen:
            # Whoever got a slot last had, without it, no more than anyone still waiting.
            assert held.count(other.submitter) - 1 <= held.count(item.submitter) or other.submitter in running
