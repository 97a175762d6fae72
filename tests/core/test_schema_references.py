"""Local references of a schema lead to what they name, or to nothing."""

from typing import Any

import pytest

from podbook_core.text.schema_references import NOTHING, target_of

ROOT: dict[str, Any] = {"$defs": {"a/b": {"type": "string"}, "m~n": [1, {"deep": True}], "a b": 3, "": 4}, "type": "object"}


@pytest.mark.parametrize(
    ("reference", "target"),
    [
        ("#", ROOT),
        ("#/type", "object"),
        ("#/$defs/a~1b", {"type": "string"}),
        ("#/$defs/m~0n/1/deep", True),
        ("#/$defs/a%20b", 3),
        ("#/$defs/", 4),
        ("#/$defs/absent", NOTHING),
        ("#/$defs/m~0n/2", NOTHING),
        ("#/$defs/m~0n/-", NOTHING),
        ("#/$defs/m~0n/01", NOTHING),
        ("#/$defs/m~2n", NOTHING),
        ("#/type/0", NOTHING),
        ("#anchor", NOTHING),
        ("https://example.com/schema", NOTHING),
        ("", NOTHING),
    ],
)
def test_a_reference_leads_to_its_target(reference: str, target: object) -> None:
    found = target_of(ROOT, reference)
    assert found is NOTHING if target is NOTHING else found == target
