"""A worker: one kernel in a workspace of its own, with what watches it, and children for work beside it. It knows no task and no store.

It runs plans one after another. The runner makes one for its task; a server can keep several, each of them in use once at a time.
"""

import gc
import os
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from podbook_runner.html.client import Renderer
from podbook_runner.inputs import workspace
from podbook_runner.kernel.process import Kernel
from podbook_runner.kernel.spec import KernelSpec
from podbook_runner.limits.memory import OomScore, find_control_group
from podbook_runner.limits.process_tree import become_subreaper

if TYPE_CHECKING:
    from podbook_runner.cells.plan_run import PlanRun
    from podbook_runner.helper_processes import Child
    from podbook_runner.kernel.session import KernelSession
    from podbook_runner.outcome import Outcome

__all__ = ["Deadline", "Worker"]

_START_SECONDS = 120
_EXIT_SECONDS = 3.0
"""How long the kernel may take for its exit handlers."""
_BROKEN = ("KernelProtocolError", "OutputIncomplete")
"""After these nobody knows what the kernel will say next."""


@dataclass(frozen=True, slots=True)
class Deadline:
    """When a plan must have ended."""

    at: float
    """By the monotonic clock."""
    seconds: float
    """What it came from, for the message."""

    @staticmethod
    def after(seconds: float) -> "Deadline":
        """From now on."""
        return Deadline(time.monotonic() + seconds, seconds)


class Worker:
    """A kernel that runs plans.

    Args:
        space: its directories; removed by whoever made them.
        output_limit: largest number of bytes that one message of the kernel may have, give or take.
        memory_limit: of the kernel and everything below it, in bytes; None for none but the container's.
        alone: whether this process has this worker only. A server's workers are not alone: no limit of the container is theirs, and
            they have no children to render and to validate.
    """

    def __init__(
        self, space: workspace.Workspace, *, output_limit: int, memory_limit: int | None = None, alone: bool = True
    ) -> None:
        self._space, self._alone = space, alone
        self._output_limit, self._memory_limit = output_limit, memory_limit
        self._kernel: Kernel | None = None
        self._session: KernelSession | None = None
        self._language_info: object = None
        self._current: PlanRun | None = None
        self._broken = False
        self.renderer: Renderer | None = None
        """Makes the pages; None where none was asked for."""
        self.validator: Child | None = None
        """Checks the output; None where none was asked for."""

    @property
    def kernel(self) -> Kernel:
        """The kernel's process.

        Raises:
            RuntimeError: it was not started.
        """
        if self._kernel is None:
            raise RuntimeError("the worker was not started")
        return self._kernel

    @property
    def reusable(self) -> bool:
        """Whether another plan can be run."""
        return self._kernel is not None and self._kernel.is_alive() and not self._broken

    # Start ------------------------------------------------------------------------------------------------------------------------

    def start(
        self,
        spec: KernelSpec,
        environment: Mapping[str, str],
        told: Mapping[str, str],
        *,
        renders: bool = False,
        validates: bool = False,
    ) -> None:
        """Start the kernel, and beside it import what runs cells, and start the children.

        Args:
            spec: the kernel's.
            environment: of this process, from which the kernel's is made.
            told: what the kernel's environment holds besides.
            renders: whether pages will be wanted.
            validates: whether an output will be checked.

        Raises:
            AttemptError: ``ConfigurationError``: the kernel's program cannot be started.
            OSError: there can be no more processes.
        """
        space = self._space
        kernel_environment = workspace.kernel_environment(environment, space, told)
        workspace.seed_font_cache(environment, space)
        score = OomScore()
        # From here on the kernel works beside us: all that follows is free until it is ready.
        self._kernel = Kernel(spec, space.runtime, space.cwd, kernel_environment, alone=self._alone)
        if self._alone:
            become_subreaper()
            self._start_children(self._kernel, score, renders=renders, validates=validates)
        self._kernel.listen()

    def _start_children(self, kernel: Kernel, score: OomScore, *, renders: bool, validates: bool) -> None:
        """Start what renders and what validates, after all has been imported that they need as well and before there are threads."""
        from nbformat.validator import get_validator  # noqa: PLC0415

        import podbook_runner.cells.engine  # noqa: F401, PLC0415 - heavy, beside the starting kernel
        from podbook_runner.helper_processes import start_child  # noqa: PLC0415

        get_validator(4, 5)  # type: ignore[no-untyped-call] # compiled once, for papermill here and for nbconvert in the fork
        # What was imported stays; the collector can leave it alone, here and in the children.
        gc.freeze()
        if validates:
            from podbook_core.schema import worker as validation_worker  # noqa: PLC0415

            self.validator = start_child(validation_worker.main, Path(os.devnull), score)
            kernel.spare(self.validator.pid)
        if renders:
            from podbook_runner.html import worker as render  # noqa: PLC0415

            errors = self._space.private / "renderer.err"
            child = start_child(render.main, errors, score)
            kernel.spare(child.pid)

            def another() -> "Child":
                # Started as a program: by then there are threads, and a fork would not survive their locks.
                return start_child(render.main, errors, score, forking=False)

            self.renderer = Renderer(child, errors, another)
        gc.enable()

    # Plans ------------------------------------------------------------------------------------------------------------------------

    async def run(self, run: "PlanRun", deadline: Deadline) -> "Outcome":
        """Run a plan's cells, when the kernel is ready.

        Args:
            run: the plan's; what the cells gave is in it afterwards.
            deadline: when the kernel is killed.

        Returns:
            How the cells ended.

        Raises:
            RuntimeError: the worker is running another plan, or can run none any more.
        """
        from nbclient.exceptions import DeadKernelError  # noqa: PLC0415 - heavy

        from podbook_runner.cells.ends import never_ready  # noqa: PLC0415
        from podbook_runner.cells.engine import end_plan, run_plan  # noqa: PLC0415
        from podbook_runner.limits.watch import Watch  # noqa: PLC0415

        if self._current is not None or self._broken:
            raise RuntimeError("the worker cannot run this plan: it has not ended another one, or its kernel is gone")
        kernel, self._current = self.kernel, run
        group = find_control_group() if self._alone else None
        watch = Watch(
            kernel,
            run.stop,
            deadline=deadline.at,
            timeout_seconds=deadline.seconds,
            memory_limit_bytes=self._memory_limit,
            group=group,
        )
        run.out_of_memory = watch.system_killed
        try:
            try:
                session = await self._connected(run)
            except (DeadKernelError, TimeoutError):
                self._broken = True
                return end_plan(run, never_ready(run, kernel, _START_SECONDS))
            outcome = await run_plan(run, kernel, session)
            self._broken = run.exited or (outcome.error is not None and outcome.error.ename in _BROKEN)
            return outcome
        except BaseException:
            self._broken = True
            raise
        finally:
            self._current = None
            watch.close()

    def interrupt(self) -> bool:
        """Interrupt the cell that runs; the plan then ends as its cell takes it, and the kernel stays. See :meth:`Kernel.interrupt`."""
        return self.kernel.interrupt()

    async def _connected(self, run: "PlanRun") -> "KernelSession":
        from podbook_runner.kernel.session import open_session  # noqa: PLC0415 - heavy

        if self._session is None:
            self._session, info = await open_session(
                self.kernel, seconds=_START_SECONDS, largest_message=self._output_limit, lost=self._output_lost
            )
            self._language_info = info.get("language_info")
        if isinstance(self._language_info, dict):
            run.notebook.metadata["language_info"] = dict(self._language_info)
        self._session.count_output(run.count)
        return self._session

    def _output_lost(self) -> None:
        self._broken = True
        if self._current is not None:
            self._current.output_lost()

    # End --------------------------------------------------------------------------------------------------------------------------

    async def let_go(self) -> None:
        """Ask the kernel to end, so that it runs its exit handlers, without waiting for it."""
        from podbook_runner.kernel.session import close_session  # noqa: PLC0415 - heavy

        session, self._session, self._broken = self._session, None, True
        if session is not None:
            await close_session(session)

    def end_kernel(self, *, patient: bool) -> None:
        """Let the kernel finish its exit handlers, or not, and kill what is left of it and of what it started."""
        if self._kernel is not None:
            if patient:
                self._kernel.wait(_EXIT_SECONDS)
            self._kernel.kill()

    async def stop(self, *, patient: bool = False) -> None:
        """End everything.

        Args:
            patient: whether the kernel may run its exit handlers, for three seconds.
        """
        import asyncio  # noqa: PLC0415 - heavy

        await self.let_go()
        await asyncio.to_thread(self.end_kernel, patient=patient)
        await asyncio.to_thread(self.close)

    def close(self) -> None:
        """Kill everything that still runs."""
        if self._kernel is not None:
            self._kernel.kill()
            if not self._alone:
                self._kernel.close()
        if self.renderer is not None:
            self.renderer.close()
        if self.validator is not None:
            self.validator.kill()
            self.validator.wait()
