"""Server-Sent Events, as the standard has them."""

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from podbook.sse import Message, parse_messages, split_lines

STREAM = (
    ": hello\r\n\r\n"
    'event: status\nid: 1\ndata: {"a":\ndata:1}\n\n'
    "retry: 10\n\n"
    "data: \u2028 stays\r\r"
    "id: 2\ndata:x\n\n"
    "event: nothing\n\n"
    "data: cut off"
)
MESSAGES = [
    Message("status", '{"a":\n1}', "1"),
    Message("message", "\u2028 stays", "1"),
    Message("message", "x", "2"),
]


@given(st.lists(st.integers(0, len(STREAM)), max_size=20))
def test_messages_do_not_depend_on_how_the_stream_is_cut(cuts: list[int]) -> None:
    edges = [0, *sorted(cuts), len(STREAM)]
    chunks = [STREAM[start:end] for start, end in pairwise(edges)]
    assert list(parse_messages(split_lines(chunks))) == MESSAGES


def test_a_resumed_stream_keeps_its_id_until_it_sets_another() -> None:
    lines = ["data: a", "", "id: 9", "data: b", ""]
    assert [message.id for message in parse_messages(lines, last_id="7")] == ["7", "9"]
