"""Whatever the documentation shows in a ``console`` block is typed here, and answers as shown."""

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.docs.conftest import ROOT, Shown

PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
_BLOCK = re.compile(r"^```console\n(.*?)^```$", re.DOTALL | re.MULTILINE)


def _steps(page: Path) -> Iterator[tuple[str, str]]:
    """Command and shown answer, in the order of the page."""
    for block in _BLOCK.findall(page.read_text()):
        for part in re.split(r"^\$ ", block, flags=re.MULTILINE)[1:]:
            lines = part.splitlines()
            document = "<<'END'" in lines[0]
            end = lines.index("END") if document else next(number for number, line in enumerate(lines) if not line.endswith("\\"))
            command, shown = "\n".join(lines[: end + 1]), "\n".join(lines[end + 1 :])
            yield command, shown.strip()


def _pattern(shown: str) -> re.Pattern[str]:
    """What was shown, where names and times are made anew each time, and … stands for anything."""
    text = re.escape(shown).replace("…", r"[\s\S]*?")
    text = re.sub(r"(?<=\\-)[a-z2-7]{16}\b", "[a-z2-7]{16}", text)
    text = re.sub(r"\d{4}\\-\d\d\\-\d\dT[\d:.\\]+Z", r"\\d{4}-\\d\\d-\\d\\dT[\\d:.]+Z", text)
    return re.compile(text)


@pytest.mark.parametrize("page", [page for page in PAGES if _BLOCK.search(page.read_text())], ids=lambda page: page.stem)
def test_what_a_page_shows_is_what_happens(page: Path, shown: Shown) -> None:
    environment = {
        **{key: value for key, value in os.environ.items() if not key.startswith("PODBOOK_")},
        "PODBOOK_URL": shown.url,
        "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
    }
    for command, expected in _steps(page):
        typed = command.replace("http://127.0.0.1:8000", shown.url)
        result = subprocess.run(
            ["bash", "-c", typed], cwd=shown.folder, env=environment, capture_output=True, text=True, timeout=100, check=False
        )
        answer = (result.stdout + result.stderr).replace(shown.url, "http://127.0.0.1:8000").strip()
        assert _pattern(expected).fullmatch(answer), f"$ {command}\nshown:\n{expected}\nanswered:\n{answer}"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_relative_links_lead_somewhere(page: Path) -> None:
    for target in re.findall(r"\]\(([^)#]+)(?:#[^)]*)?\)", page.read_text()):
        if not target.startswith(("http://", "https://")):
            assert (page.parent / target).exists(), f"{page.name} links to {target}"


def test_generated_pages_are_up_to_date() -> None:
    result = subprocess.run([sys.executable, "docs/generate.py", "--check"], cwd=ROOT, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr
