"""Version 0.1.0 reads a manifest and a status that tell of pages, which it does not know."""

from datetime import UTC, datetime
from pathlib import Path

import pytest
from tests.support.old_version import run, unpack

from podbook_core.execution.manifest import AttemptManifest, Pages
from podbook_core.execution.model import Status
from podbook_core.execution.reasons import Reason
from podbook_core.execution.transitions import Change, advance


@pytest.mark.parametrize("pages", [Pages(True), Pages(False, "no such picture")])
def test_what_is_told_of_pages_is_passed_over(tmp_path: Path, pages: Pages) -> None:
    old = unpack(tmp_path)
    moment = "2026-05-01T00:00:00Z"
    manifest = AttemptManifest("u1", "p1", "Succeeded", "", None, moment, moment, 1.0, 1, 2, (), "0.2.0", pages)
    program = "import sys\nfrom podbook_core.attempt import AttemptManifest\nprint(AttemptManifest.from_json(sys.argv[1].encode()).outcome)"
    assert run(old, program, manifest.to_json().decode()).strip() == "Succeeded"
    status = advance(Status(), Change(Reason.SUCCEEDED, pages=pages), generation=1, now=datetime(2026, 5, 1, tzinfo=UTC))
    program = "import sys\nfrom podbook_core.model import Status\nprint(Status.model_validate_json(sys.argv[1]).reason)"
    assert run(old, program, status.model_dump_json(by_alias=True, exclude_none=True)).strip() == "Succeeded"
