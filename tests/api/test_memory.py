"""A thousand executions with the largest parameters there are: the API keeps none of them in memory, and answers meanwhile.

Each case runs in a process of its own, whose memory is measured.
"""

import json
import subprocess
import sys
from pathlib import Path

import pytest

MEBIBYTE = 1024**2
MOST = 300 * MEBIBYTE


def measured(case: str, folder: Path) -> dict[str, int]:
    """What a case says of itself."""
    command = [sys.executable, "-m", "tests.api.memory_cases", case, str(folder)]
    root = Path(__file__).parents[2]
    done = subprocess.run(
        command, check=True, capture_output=True, timeout=600, cwd=root, env={"PYTHONPATH": str(root), "PATH": "/usr/bin:/bin"}
    )
    answer: dict[str, int] = json.loads(done.stdout.splitlines()[-1])
    return answer


@pytest.mark.timeout(600)
@pytest.mark.parametrize("case", ["waiting", "ended", "cluster"])
def test_large_parameters_are_not_kept(case: str, tmp_path: Path) -> None:
    found = measured(case, tmp_path)
    assert found["executions"] == 1000
    assert found["listed"] == 200
    assert found["page"] < MEBIBYTE
    assert found["peak"] < MOST, found
    assert found["answered"] == found["asked"] > 0
