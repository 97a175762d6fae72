"""The reference pages say something of everything they list."""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.docs.conftest import ROOT

PAGES = sorted((ROOT / "docs" / "reference").glob("*.md"))


def cells(line: str) -> list[str]:
    return [cell.strip() for cell in re.split(r"(?<!\\)\|", line)[1:-1]]


def rows(page: Path) -> Iterator[dict[str, str]]:
    """Every row of every table, by the heads of its columns."""
    heads: list[str] = []
    for line in page.read_text().splitlines():
        if not line.startswith("|"):
            heads = []
        elif not heads:
            heads = cells(line)
        elif not set(line) <= set("|-: "):
            yield dict(zip(heads, cells(line), strict=True))


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_every_row_has_a_name_and_a_meaning(page: Path) -> None:
    for row in rows(page):
        first, *_, last = row.values()
        assert first, row
        assert last, row


def test_the_page_of_the_chart_lists_values_profiles_and_settings() -> None:
    meanings = {next(iter(row.values())): row["meaning"] for row in rows(ROOT / "docs/reference/helm-values.md")}
    assert meanings["`limits.maxQueued`"] == "Maximum number of waiting executions; above it the API answers 429."
    assert meanings["`s3.existingSecret`"].startswith("Secret with the keys `accessKey`"), "a comment of two lines"
    assert meanings["`s3.existingSecret`"].endswith("api.serviceAccount.annotations).")
    assert {"`runner`", "`envFromSecrets`", "`allowed.keys`", "`operator.settings.RESYNC_SECONDS`"} <= meanings.keys()
