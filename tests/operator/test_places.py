"""Who gets a place: each profile has its own, and within one the core's rule of fairness holds."""

from datetime import timedelta

from hypothesis import given
from hypothesis import strategies as st

from podbook_core.execution.admission import Waiting, next_to_start
from podbook_core.execution.profiles import Profile
from podbook_operator.facts.slots import Places

from .documents import NOW, rfc3339


def wait(places: Places, name: str, *, profile: str = "default", submitter: str | None = None, age: int = 0) -> None:
    places.wait(name, profile=profile, submitter=submitter, created=rfc3339(NOW + timedelta(seconds=age)), uid=f"uid-{name}")


def test_a_profile_that_is_full_keeps_no_other_one_waiting() -> None:
    places = Places(2, {"default": Profile(), "stuck": Profile()})
    for number in range(5):
        wait(places, f"stuck-{number}", profile="stuck", age=number)
    assert places.grant() == ["stuck-0", "stuck-1"]
    for number in range(5):
        wait(places, f"plain-{number}", age=9 + number)
    assert places.grant() == ["plain-0", "plain-1"]
    assert (places.taken, places.waiting) == (4, 6)


def test_a_profiles_own_limit_counts_instead_of_the_general_one() -> None:
    places = Places(2, {"default": Profile(), "scarce": Profile(max_active=1), "plenty": Profile(max_active=3)})
    for profile in ("default", "scarce", "plenty", "no longer offered"):
        for number in range(5):
            wait(places, f"{profile}-{number}", profile=profile, age=number)
    granted = places.grant()
    counts = {
        profile: sum(name.startswith(profile) for name in granted) for profile in ("scarce", "default", "plenty", "no longer")
    }
    assert counts == {"scarce": 1, "default": 2, "plenty": 3, "no longer": 2}


def test_those_of_one_submitter_that_run_with_another_profile_do_not_count() -> None:
    places = Places(2, {"default": Profile(), "large": Profile()})
    for number in range(2):
        places.hold(f"large-{number}", profile="large", submitter="busy")
    wait(places, "first", submitter="busy", age=0)
    wait(places, "second", submitter="idle", age=1)
    wait(places, "third", submitter="idle", age=2)
    assert places.grant() == ["first", "second"]


def test_the_same_word_twice_changes_nothing() -> None:
    places = Places(1, {"default": Profile()})
    for _ in range(2):
        wait(places, "one")
    assert places.grant() == ["one"]
    wait(places, "one")
    assert places.granted == {"one"}
    for _ in range(2):
        places.hold("one", profile="default", submitter=None)
    assert (places.running, places.granted, places.taken, places.waiting) == (("one",), set(), 1, 0)
    for _ in range(2):
        places.leave("one")
    assert (places.running, places.taken) == ((), 0)


def test_who_has_a_job_holds_a_place_even_where_there_is_none() -> None:
    places = Places(1, {"default": Profile()})
    for name in ("one", "two"):
        places.hold(name, profile="default", submitter=None)
    wait(places, "three")
    places.leave("one")
    assert places.grant() == []
    places.leave("two")
    assert places.grant() == ["three"]


_SUBMITTERS = st.sampled_from(["a", "b", None])
_PROFILES = st.sampled_from(["default", "scarce"])
_STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("wait"), st.integers(0, 30), _SUBMITTERS, _PROFILES, st.integers(0, 5)),
        st.tuples(st.just("leave"), st.integers(0, 30)),
        st.tuples(st.just("run"), st.integers(0, 30)),
        st.tuples(st.just("grant")),
    ),
    max_size=80,
)


@given(_STEPS, st.integers(1, 4))
def test_the_order_is_the_cores_whatever_happened_before(steps: list[tuple[object, ...]], limit: int) -> None:
    """Compared with lists of everybody, sorted again each time."""
    profiles = {"default": Profile(), "scarce": Profile(max_active=1)}
    limits = {"default": limit, "scarce": 1}
    places = Places(limit, profiles)
    waiting: dict[str, tuple[str, Waiting]] = {}
    holding: dict[str, tuple[str, str | None]] = {}
    for step in steps:
        name = f"n{step[1]}" if len(step) > 1 else ""
        match step:
            case ("wait", _, str() | None as submitter, str(profile), int(age)):
                if name not in waiting and name not in places.granted:
                    holding.pop(name, None)  # its Job was lost before anyone had written it down
                    waiting[name] = (profile, Waiting(name, submitter, NOW + timedelta(seconds=age), f"uid-{name}"))
                wait(places, name, profile=profile, submitter=submitter, age=age)
            case ("leave", _):
                places.leave(name)
                waiting.pop(name, None)
                holding.pop(name, None)
            case ("run", _):
                if name in places.granted:
                    profile, submitter = holding[name]
                    places.hold(name, profile=profile, submitter=submitter)
            case _:
                expected = set()
                for profile, most in limits.items():
                    queue = [item for where, item in waiting.values() if where == profile]
                    held = [submitter for where, submitter in holding.values() if where == profile]
                    for item in next_to_start(queue, held, most):
                        expected.add(item.name)
                        holding[item.name] = (profile, item.submitter)
                        del waiting[item.name]
                assert set(places.grant()) == expected
    assert places.taken == len(holding)
    assert places.waiting == len(waiting)
