"""Whatever the documentation shows in a ``console`` block is typed here, and answers as shown."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from tests.docs.conftest import ROOT, Shown
from tests.support.transcripts import pattern, steps

PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]


@pytest.mark.parametrize("page", [page for page in PAGES if any(steps(page.read_text()))], ids=lambda page: page.stem)
def test_what_a_page_shows_is_what_happens(page: Path, shown: Shown) -> None:
    environment = {
        **{key: value for key, value in os.environ.items() if not key.startswith("PODBOOK_")},
        "PODBOOK_URL": shown.url,
        "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
    }
    for step in steps(page.read_text()):
        typed = step.command.replace("http://127.0.0.1:8000", shown.url)
        result = subprocess.run(
            ["bash", "-c", typed], cwd=shown.folder, env=environment, capture_output=True, text=True, timeout=100, check=False
        )
        answer = (result.stdout + result.stderr).replace(shown.url, "http://127.0.0.1:8000").strip()
        assert pattern(step.shown).fullmatch(answer), f"$ {step.command}\nshown:\n{step.shown}\nanswered:\n{answer}"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_relative_links_lead_somewhere(page: Path) -> None:
    for target in re.findall(r"\]\(([^)#]+)(?:#[^)]*)?\)", page.read_text()):
        if not target.startswith(("http://", "https://")):
            assert (page.parent / target).exists(), f"{page.name} links to {target}"


def test_generated_pages_are_up_to_date() -> None:
    result = subprocess.run([sys.executable, "docs/generate.py", "--check"], cwd=ROOT, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr
