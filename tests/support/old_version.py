"""The code of 0.1.0, from its wheel: what it wrote must be read by every later version, and it must read what they write.

Its own dependencies are those of today, so it runs in this environment, from a folder of its own that comes first on the path.
"""

import os
import subprocess
import sys
import zipfile
from pathlib import Path

__all__ = ["FIXTURES", "WHEEL", "environment", "run", "unpack"]

WHEEL = Path(__file__).parents[1] / "data" / "podbook-0.1.0-py3-none-any.whl"
FIXTURES = Path(__file__).parents[1] / "data" / "0.1.0"
"""A data directory that 0.1.0 left when it was killed, and a task it wrote; made by ``python -m tests.data.make_0_1_0``."""


def unpack(folder: Path) -> Path:
    """Unpack the wheel. Returns the folder to put on the path."""
    with zipfile.ZipFile(WHEEL) as archive:
        archive.extractall(folder)
    return folder


def environment(code: Path) -> dict[str, str]:
    """The environment in which Python imports the code of 0.1.0."""
    return {**os.environ, "PYTHONPATH": str(code), "PYTHONUNBUFFERED": "1"}


def run(code: Path, program: str, *arguments: str) -> str:
    """Run a program against the code of 0.1.0; returns what it prints."""
    checked = f"import podbook_core; assert podbook_core.__version__ == '0.1.0'\n{program}"
    done = subprocess.run(
        [sys.executable, "-c", checked, *arguments], env=environment(code), capture_output=True, text=True, check=False, cwd=code
    )
    assert done.returncode == 0, done.stderr
    return done.stdout
