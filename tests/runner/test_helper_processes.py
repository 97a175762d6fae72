"""The runner's own children: what they have of the runner and what not, and a runner that can have no forks."""

import json
import textwrap
from pathlib import Path

import pytest

from podbook_core.execution.reasons import ExitCode
from podbook_runner.limits.memory import OomScore

from .conftest import Runner, notebook, printed_by, save

WITHOUT = """
import os, sys
from podbook_runner import helper_processes as forks
from podbook_runner.__main__ import main
def refuse(*_):
    raise OSError(38, "Function not implemented")
os.pidfd_open = refuse
forks.start_child.__kwdefaults__["forking"] = False
os._exit(main(sys.argv[1:], os.environ))
"""
"""A runner on a system without pidfd_open(2), where processes must not be forked."""
NUMBER = {"type": "object", "properties": {"n": {"type": "integer"}}}


def run(program: str, *arguments: object, **environment: str) -> str:
    """What a program prints; its warnings are errors."""
    return printed_by(program, *arguments, warnings="error", environment=environment)


@pytest.mark.parametrize("forking", [True, False], ids=["fork", "program"])
def test_a_child_answers_and_ends_with_its_input(tmp_path: Path, *, forking: bool) -> None:
    program = """
    import sys
    from pathlib import Path
    from podbook_core.schema import worker as validation_worker
    from podbook_runner.helper_processes import start_child
    from podbook_runner.limits.memory import OomScore
    child = start_child(validation_worker.main, Path(sys.argv[1]), OomScore(), forking=sys.argv[2] == "True")
    child.stdin.write(b'{"do": "validate", "schema": {"type": "integer"}, "value": "x"}\\n')
    child.stdin.flush()
    print(child.stdout.readline().decode() + child.stdout.readline().decode(), end="")
    assert child.poll() is None and child.pid > 0
    child.stdin.close()
    print(child.wait(), child.poll())
    child.stdout.close()
    """
    ready, answer, codes = run(program, tmp_path / "errors", forking).splitlines()
    assert ready == '"ready"'
    assert len(json.loads(answer)["violations"]) == 1
    assert codes == "0 0"


def test_a_fork_has_nothing_of_the_runner_but_what_was_imported(tmp_path: Path) -> None:
    program = """
    import fcntl, os, signal, sys
    from pathlib import Path
    from podbook_runner.helper_processes import ForkedProcess
    from podbook_runner.limits.memory import OomScore
    from podbook_runner.limits.stop import Stop
    Stop().install()
    lock = os.open(sys.argv[1] + "/lock", os.O_RDWR | os.O_CREAT)
    fcntl.flock(lock, fcntl.LOCK_EX)
    def main():
        print([name for name in os.environ if name.startswith("PODBOOK")], signal.getsignal(signal.SIGTERM) is signal.SIG_DFL)
        # Before the line that is waited for, so that it is there when the file is read.
        print("trouble", file=sys.stderr, flush=True)
        print(sorted(int(name) for name in os.listdir("/proc/self/fd"))[:4], flush=True)
        sys.stdin.readline()
    child = ForkedProcess(main, Path(sys.argv[1]) / "errors", OomScore())
    print(child.stdout.readline().decode() + child.stdout.readline().decode(), end="")
    os.close(lock)
    again = os.open(sys.argv[1] + "/lock", os.O_RDWR)
    fcntl.flock(again, fcntl.LOCK_EX | fcntl.LOCK_NB)
    child.kill()
    print(child.wait())
    child.stdin.close(), child.stdout.close()
    """
    given, descriptors, code = run(program, tmp_path, PODBOOK_ATTEMPT="a").splitlines()
    assert given == "[] True"
    assert descriptors == "[0, 1, 2, 3]"  # the fourth is the listing's own
    assert code == "-9"
    assert (tmp_path / "errors").read_text() == "trouble\n"


def test_a_child_that_fails_says_why(tmp_path: Path) -> None:
    program = """
    import sys
    from pathlib import Path
    from podbook_runner.helper_processes import ForkedProcess
    from podbook_runner.limits.memory import OomScore
    def main():
        raise ValueError("no idea")
    child = ForkedProcess(main, Path(sys.argv[1]), OomScore())
    print(repr(child.stdout.readline()), child.wait())
    child.stdin.close(), child.stdout.close()
    """
    assert run(program, tmp_path / "errors") == "b'' 1\n"
    assert (tmp_path / "errors").read_text().rstrip().endswith("ValueError: no idea")


def test_a_large_runner_leaves_its_validator_room(tmp_path: Path) -> None:
    program = """
    import json, mmap, sys
    from pathlib import Path
    from podbook_core.schema import worker as validation_worker
    from podbook_core.schema.validation import ContractValidator
    from podbook_runner.helper_processes import ForkedProcess
    from podbook_runner.limits.memory import OomScore
    large = mmap.mmap(-1, 1200 << 20)
    child = ForkedProcess(validation_worker.main, Path(sys.argv[1]), OomScore())
    with ContractValidator(workers=1, start=lambda: child) as validator:
        print(validator.violations({"items": {"type": "integer"}}, list(range(20_000))))
    """
    assert run(program, tmp_path / "errors") == "[]\n"


@pytest.mark.parametrize(("own", "child"), [(0, 500), (-17, 500), (500, 501), (998, 999), (1000, 1000)])
def test_children_go_first_when_memory_runs_out(tmp_path: Path, own: int, child: int) -> None:
    file = tmp_path / "oom_score_adj"
    file.write_text(str(own))
    with OomScore(file).expendable():
        assert int(file.read_text()[: len(str(child))]) == child  # unlike the system's, this file keeps what was longer
    assert int(file.read_text()[: len(str(own))]) == own
    with OomScore(tmp_path / "missing").expendable():
        assert not (tmp_path / "missing").exists()


def test_the_children_of_a_real_runner_go_before_it_and_after_the_kernel(runner: Runner) -> None:
    looks = """
    import os, pathlib
    def read(pid, name): return pathlib.Path(f"/proc/{pid}/{name}").read_text()
    mine = [pid for pid in os.listdir("/proc") if pid.isdigit() and int(read(pid, "stat").rsplit(")", 1)[1].split()[1]) == os.getppid()]
    found = {"kernel": int(read("self", "oom_score_adj")), "runner": int(read(os.getppid(), "oom_score_adj"))}
    found["others"] = [int(read(pid, "oom_score_adj")) for pid in mine if int(pid) != os.getpid()]
    """
    done = runner.run(notebook(textwrap.dedent(looks), save("found")), html=True, output=True)
    assert done.exit_code == ExitCode.SUCCEEDED, done.printed
    scores = done.json("output.json")
    assert scores["kernel"] == 1000
    assert len(scores["others"]) == 2
    assert all(scores["runner"] < score <= scores["kernel"] for score in scores["others"])


def test_the_runner_forks_before_it_has_threads(runner: Runner) -> None:
    """Later, a child could find a lock held forever by a thread that it does not have (CPython warns of that from 3.12 on)."""
    strict = {"PYTHONWARNINGS": "error:This process:DeprecationWarning"}
    done = runner.start(runner.task(notebook(save("{'n': 1}")), html=True, output=NUMBER), environment=strict).wait()
    assert done.exit_code == ExitCode.SUCCEEDED, done.printed


@pytest.mark.parametrize(
    ("cell", "exit_code"),
    [
        (save("{'n': 1}"), ExitCode.SUCCEEDED),
        (save("{'n': 'one'}"), ExitCode.INVALID_OUTPUT),
        ("import os; os._exit(3)", ExitCode.KERNEL_DIED),
    ],
)
def test_a_runner_without_forks_and_without_notice_of_ends(runner: Runner, cell: str, exit_code: ExitCode) -> None:
    done = runner.start(runner.task(notebook(cell), html=True, output=NUMBER), program=("-c", WITHOUT)).wait()
    assert done.exit_code == exit_code, done.printed
    assert "</html>" in done.text("report.html")
