"""A worker as a program: ``python -m podbook_runner.shared.server``, spoken to over standard input and output.

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
from podbook_runner.limits.process_tree import become_subreaper
from podbook_runner.outcome import AttemptError
from podbook_runner.shared.kernel import SharedKernel

__all__ = ["main"]

_HIDDEN = ("KG_AUTH_TOKEN",)
"""Variables that no kernel sees."""
_LOOK_SECONDS = 0.5


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
        kernel = SharedKernel(spec, folder, Path(start.cwd), _environment(start), limit=start.limit)
    except (AttemptError, InvalidMessageError, OSError) as error:
        _say(answers, Ran(lost=str(error), usable=False))
        return 1
    try:
        ran = await kernel.start() or await kernel.run(start.set_up, seconds=start.seconds)
        _say(answers, ran)
        while ran.usable and (line := await lines.readline()):
            ran = await _unless_gone(kernel, Run.from_line(line), lines)
            _say(answers, ran)
    except (InvalidMessageError, ValueError) as error:  # also a line that is longer than any may be
        _say(answers, Ran(lost=str(error), usable=False))
        return 1
    except BrokenPipeError:
        return 1
    finally:
        await kernel.close()
    return 0


async def _unless_gone(kernel: SharedKernel, run: Run, lines: asyncio.StreamReader) -> Ran:
    """Run, unless the server goes meanwhile: then nobody waits for it, and the kernel is not left to finish."""
    running = asyncio.ensure_future(kernel.run(run.sources, seconds=run.seconds, quiet=run.quiet))
    while not running.done():
        await asyncio.wait([running], timeout=_LOOK_SECONDS)
        if lines.at_eof() and not running.done():
            running.cancel()
            return Ran(lost="the server has gone", usable=False)
    return running.result()


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
