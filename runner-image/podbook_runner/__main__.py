"""The program: arguments, lock, signal handler, exit code.

python -m podbook_runner --task FILE --attempt ID [--work-dir DIR] [--lock-file FILE] [--termination-log FILE]
"""

import argparse
import fcntl
import gc
import os
import sys
import traceback
from collections.abc import Mapping, Sequence
from pathlib import Path

from podbook_runner.limits.stop import Stop

_TERMINATION_LOG = Path("/dev/termination-log")
_CRASHED = 1
"""Not an exit code of ours: the starter of the runner reports it as RunnerCrashed."""


def main(arguments: Sequence[str], environment: Mapping[str, str]) -> int:
    """Run one attempt.

    Returns:
        The exit code.
    """
    stop = Stop()
    stop.install()
    # Importing creates hundreds of thousands of objects that stay; collecting among them only takes time.
    gc.disable()
    options = _options(arguments, environment)
    from podbook_core.execution.reasons import Reason  # noqa: PLC0415 - only after the signal handler
    from podbook_core.execution.task import InvalidTaskError, Task  # noqa: PLC0415
    from podbook_runner.outcome import Outcome, exit_code_of, termination_message  # noqa: PLC0415
    from podbook_runner.run import Run, say  # noqa: PLC0415

    problem, task = None, None
    if options.lock_file is not None:
        problem = _lock(options.lock_file)
    if problem is None:
        try:
            task = Task.from_json(options.task.read_bytes())
        except OSError as error:
            problem = f"the task file cannot be read: {error.strerror or type(error).__name__}"
        except InvalidTaskError as error:
            problem = str(error)
    if task is None:
        outcome = Outcome(Reason.CONFIGURATION_ERROR, problem or "no task was given")
    else:
        outcome = Run(task, options.task, options.attempt, options.work_dir, stop).run()
    say(f"podbook_runner: {outcome.outcome}" + (f": {outcome.message}" if outcome.message else ""))
    _write_termination_log(options.termination_log, termination_message(outcome))
    return int(exit_code_of(outcome))


def _options(arguments: Sequence[str], environment: Mapping[str, str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="podbook_runner", description="Execute one attempt of one notebook execution.")
    parser.add_argument("--task", type=Path, required=True, metavar="FILE", help="the task document (JSON)")
    parser.add_argument(
        "--attempt",
        default=environment.get("PODBOOK_ATTEMPT"),
        metavar="ID",
        help="id of the attempt, the pod's uid; default: $PODBOOK_ATTEMPT",
    )
    parser.add_argument(
        "--work-dir", type=Path, metavar="DIR", help="where its directories are created; default: a temporary directory"
    )
    parser.add_argument(
        "--lock-file", type=Path, metavar="FILE", help="locked for as long as the runner lives, with its process id inside"
    )
    parser.add_argument(
        "--termination-log",
        type=Path,
        metavar="FILE",
        help=f"where to write how it ended; default: {_TERMINATION_LOG} if it exists",
    )
    options = parser.parse_args(arguments)
    if not options.attempt or "/" in options.attempt or options.attempt in (".", ".."):
        parser.error("--attempt or PODBOOK_ATTEMPT must name the attempt, without slashes")
    if options.termination_log is None and os.access(_TERMINATION_LOG, os.W_OK):
        options.termination_log = _TERMINATION_LOG
    return options


def _lock(path: Path) -> str | None:
    """Hold the lock for life; a sentence when somebody else does, or did.

    An attempt is begun once: whoever finds its lock free and its runner gone writes into the file, and a runner that comes late must not
    begin what was given up. The descriptor is closed in every program the runner starts, so the lock ends with the runner and with nothing else.
    """
    try:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return "another runner holds the lock of this attempt"
    except OSError as error:
        return f"the lock file cannot be used: {error.strerror or type(error).__name__}"
    if os.fstat(descriptor).st_size:
        return "the lock was used before: this attempt has ended or was abandoned"
    os.write(descriptor, f"{os.getpid()}\n".encode())
    return None


def _write_termination_log(path: Path | None, message: bytes) -> None:
    if path is None:
        return
    try:
        path.write_bytes(message)
    except OSError as error:
        print(f"podbook_runner: {path} cannot be written: {error.strerror or error}", file=sys.stderr)  # noqa: T201


if __name__ == "__main__":
    try:
        code = main(sys.argv[1:], os.environ)
    except Exception:  # noqa: BLE001 - the last resort; the supervisor calls it RunnerCrashed
        traceback.print_exc()
        code = _CRASHED
    sys.stdout.flush()
    sys.stderr.flush()
    # Everything is stored and ended by now. Tearing down the interpreter would take longer than many notebooks.
    os._exit(code)
