"""Labelled values: a Series keeps its labels or is refused, and refusals name the place and the remedy."""

import json
from typing import Any

import numpy as np
import pandas as pd
import pytest

from podbook import save_output


class PolarsSeries:
    """The part of a polars Series that matters: ``to_list``, no ``tolist``, and an ``item`` for one element only."""

    def __init__(self, *values: int) -> None:
        self._values, self.shape = values, (len(values),)

    def to_list(self) -> list[int]:
        return list(self._values)

    def item(self) -> int:
        (value,) = self._values
        return value


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (pd.Series({"north": 17, "south": 5}), {"north": 17, "south": 5}),
        ({"sums": pd.Series([1.5], index=["a"])}, {"sums": {"a": 1.5}}),
        (pd.Series([1, 2], index=[2024, 2025]), {"2024": 1, "2025": 2}),
        (pd.Series([1], index=pd.to_datetime(["2026-01-02"])), {"2026-01-02T00:00:00": 1}),
        (pd.Series([1, 2]), [1, 2]),
        (pd.Series([1, 2, 3])[1:], {"1": 2, "2": 3}),
        (pd.Index(["a", "b"]), ["a", "b"]),
        ({"values": PolarsSeries(0)}, {"values": [0]}),
        ({"values": PolarsSeries(0, 1)}, {"values": [0, 1]}),
        (np.array([7]), [7]),
        (np.float64(7), 7.0),
    ],
)
def test_labels_are_kept(value: Any, expected: Any, capsys: pytest.CaptureFixture[str]) -> None:
    save_output(value)
    assert json.loads(capsys.readouterr().out) == expected


@pytest.mark.parametrize(
    ("value", "words"),
    [
        ({"sums": pd.Series([1, 2], index=["a", "a"])}, r"the Series at \$\.sums has the same label more than once.*reset_index"),
        ({"x": pd.NA}, r"at \$\.x, which JSON cannot represent; use None for a missing value"),
        ({"when": np.datetime64("2026-01-02")}, r"at \$\.when, which JSON cannot represent; pass str\(value\)"),
        (
            {"table": pd.DataFrame({"a": [1]})},
            r"at \$\.table, which can be written as JSON in several ways; pass what its to_dict\(orient='records'\)",
        ),
        (pd.Series([1, np.nan], index=["a", "b"]), r"nan at \$\.b"),
    ],
)
def test_a_refusal_names_the_place_and_the_remedy(value: Any, words: str) -> None:
    with pytest.raises((TypeError, ValueError), match=words):
        save_output(value)
