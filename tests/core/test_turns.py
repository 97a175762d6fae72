"""Whose turn it is: first come, first served among those whose key is free; and who is refused for having stalled."""

from podbook_core.schema.turns import StallMemory, Turns


def test_whoever_waits_for_a_busy_key_holds_up_nobody_else() -> None:
    turns: Turns[str] = Turns(places=2)
    bobs = [turns.enter("bob") for _ in range(3)]
    alice = turns.enter("alice")
    assert turns.begin(bobs[0])
    assert not turns.begin(bobs[1])
    assert turns.begin(alice)


def test_among_free_keys_the_first_comes_first() -> None:
    turns: Turns[str] = Turns(places=1)
    first, second, third = turns.enter("a"), turns.enter("b"), turns.enter("a")
    assert not turns.begin(second)
    assert turns.begin(first)
    turns.leave(first)
    assert not turns.begin(third)
    assert turns.begin(second)
    turns.leave(second)
    assert turns.begin(third)


def test_whoever_gives_up_is_waited_for_no_more() -> None:
    turns: Turns[str] = Turns(places=1)
    first, second = turns.enter("a"), turns.enter("b")
    turns.leave(first)
    assert turns.begin(second)
    turns.leave(first)
    assert not turns.begin(turns.enter("c"))
    turns.leave(second)


def test_a_key_is_refused_for_a_minute_after_two_stalls() -> None:
    memory: StallMemory[str] = StallMemory()
    memory.stalled("slow", 100.0)
    assert memory.refused_for("slow", 101.0) == 0
    memory.stalled("slow", 110.0)
    assert memory.refused_for("slow", 115.0) == 55.0
    assert memory.refused_for("other", 115.0) == 0
    assert memory.refused_for("slow", 170.0) == 0
    memory.stalled("slow", 171.0)
    assert memory.refused_for("slow", 172.0) == 0


def test_two_stalls_far_apart_refuse_nothing() -> None:
    memory: StallMemory[str] = StallMemory()
    memory.stalled("slow", 100.0)
    memory.stalled("slow", 161.0)
    assert memory.refused_for("slow", 162.0) == 0


def test_only_so_many_keys_are_remembered() -> None:
    memory: StallMemory[int] = StallMemory(limit=1, most=3)
    for key in range(5):
        memory.stalled(key, 1.0)
    assert [memory.refused_for(key, 2.0) > 0 for key in range(5)] == [False, False, True, True, True]
