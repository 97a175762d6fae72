"""A worker as a program: ``python -m podbook_runner.worker.server``, spoken to over standard input and output.

The first line says what to start (:class:`~podbook_core.http_notebook.messages.Start`); its answer comes when the set-up has run. Each further
line is a :class:`~podbook_core.http_notebook.messages.Run`. The end of its input ends it.
"""

import asyncio
import os
import shutil
import sys
import tempfile
from pathlib import Path
from typing import BinaryIO

from podbook_core.http_notebook.messages import MAX_LINE_BYTES, InvalidMessageError, Ran, Run, Start
from podbook_runner.kernel.spec import find_kernelspec, kernel_folders
from podbook_runner.limits.processes import become_subreaper
from podbook_runner.outcome import AttemptError
from podbook_runner.worker.worker import Worker, WorkerLostError

__all__ = ["main"]

_HIDDEN = ("KG_AUTH_TOKEN",)
"""Variables that no kernel sees."""


def main() -> int:
    """Serve until the input ends; 0 then, 1 when the kernel was lost."""
    become_subreaper()
    # What a library prints must not look like an answer.
    answers = os.fdopen(os.dup(sys.stdout.fileno()), "wb")
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())
    folder = Path(tempfile.mkdtemp(prefix="pb-"))
    try:
        return asyncio.run(_serve(folder, answers))
    finally:
        shutil.rmtree(folder, ignore_errors=True)


async def _serve(folder: Path, answers: BinaryIO) -> int:
    lines = await _input()
    try:
        start = Start.from_line(await lines.readline())
        spec = find_kernelspec(start.kernel, start.language, kernel_folders())
        worker = Worker(spec, folder, Path(start.cwd), _environment(start), limit=start.limit)
    except (AttemptError, InvalidMessageError, OSError) as error:
        _say(answers, Ran(lost=str(error)))
        return 1
    try:
        await worker.start()
        _say(answers, Ran(await worker.run(start.set_up)))
        while line := await lines.readline():
            _say(answers, Ran(await worker.run(Run.from_line(line).sources)))
    except (WorkerLostError, InvalidMessageError) as error:
        _say(answers, Ran(lost=str(error)))
        return 1
    finally:
        await worker.close()
    return 0


async def _input() -> asyncio.StreamReader:
    reader = asyncio.StreamReader(limit=MAX_LINE_BYTES)
    loop = asyncio.get_running_loop()
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    return reader


def _environment(start: Start) -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if name not in _HIDDEN and not name.startswith("PODBOOK_")}
    # ipykernel ends itself when this process is gone.
    return {**kept, **start.environment, "JPY_PARENT_PID": str(os.getpid())}


def _say(answers: BinaryIO, answer: Ran) -> None:
    answers.write(answer.line())
    answers.flush()


if __name__ == "__main__":
    sys.exit(main())
