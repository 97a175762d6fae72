"""The messaging side of a kernel that is already starting: channels that notice its death at once.

jupyter_client's channels wait for messages without regard to the process behind them; nbclient looks after it once a second. Here a
channel without messages whose process is gone raises, after everything the process still sent has been read.
"""

import asyncio
import sys
import time
from collections.abc import Callable
from queue import Empty
from typing import Any, cast

import zmq
import zmq.asyncio
from jupyter_client.asynchronous.client import AsyncKernelClient
from jupyter_client.channels import AsyncZMQSocketChannel
from jupyter_client.connect import KernelConnectionInfo
from nbclient.exceptions import DeadKernelError
from traitlets import Type

from podbook_runner.kernel.process import Kernel

if sys.version_info >= (3, 12):
    from typing import override
else:
    from typing_extensions import override

__all__ = ["KernelSession", "close_session", "open_session"]

_LOOK_SECONDS = 0.1
_REST_SECONDS = 5.0
"""Between two looks at a kernel whose end would be noticed at once."""
_SUBSCRIBE_SECONDS = 0.05
_RECONNECT_MILLISECONDS = 5
_MESSAGE_SPARE = 16 * 1024 * 1024
_MESSAGE_LEAST = 64 * 1024 * 1024
"""ipykernel gathers what is printed within a fifth of a second into one message, so even a low limit must let large ones in."""
_GOODBYE_SECONDS = 0.5
_KEEP_ALL_OUTPUT = (
    "(lambda app: app.iopub_thread.schedule(lambda: setattr(app.iopub_socket, 'sndhwm', 0)))"
    "(__import__('ipykernel.kernelapp').kernelapp.IPKernelApp.instance())"
)
"""ipykernel drops output without a word when a thousand messages wait to be sent; without the limit they wait. One expression, so
that no name is left in the notebook's namespace; where it fails, for another version, all is as it would have been."""
_PLAIN_EXITS = (
    "(lambda kind, call: setattr(kind, '__call__', lambda self, keep_kernel=False: call(self, keep_kernel"
    " if keep_kernel is None or isinstance(keep_kernel, (bool, int, float, str)) else str(keep_kernel))))"
    "(*(lambda kind: (kind, kind.__call__))(__import__('IPython.core.autocall').core.autocall.ZMQExitAutocall))"
)
"""IPython puts the argument of ``exit()`` into its reply as it is; one that JSON cannot represent, such as an exception, costs the whole reply,
and the cell never ends. As text it is what ``sys.exit()`` shows."""
_SET_UP = "".join(f"try:\n    {code}\nexcept Exception:\n    pass\n" for code in (_KEEP_ALL_OUTPUT, _PLAIN_EXITS))


class _Channel(AsyncZMQSocketChannel):
    """A channel that counts what it receives and ends with its kernel."""

    alive: Callable[[], bool] = staticmethod(lambda: True)
    ended: asyncio.Future[None] | None = None
    received: Callable[[int], None] = staticmethod(lambda _size: None)

    @override
    async def get_msg(self, timeout: float | None = None) -> dict[str, Any]:  # type: ignore[override] # as its own base does
        """The next message.

        Raises:
            DeadKernelError: the kernel has ended and left no message.
            queue.Empty: none came in time.
        """
        end = None if timeout is None else time.monotonic() + timeout
        while end is None or time.monotonic() < end:
            alive = self.alive()
            # Another thread may be asking for the process's end at this moment: then it still counts as alive.
            pause = _REST_SECONDS if alive and self.ended is not None and not self.ended.done() else _LOOK_SECONDS
            if await self._arrives(pause if end is None else min(pause, max(0.0, end - time.monotonic()))):
                message = await self._receive()
                if message is not None:
                    return message
                continue
            if not alive:
                raise DeadKernelError("Kernel died")
        raise Empty

    async def _arrives(self, seconds: float) -> bool:
        """Whether a message is there, at the latest after that time, or when the kernel ends."""
        arriving: asyncio.Future[Any] = asyncio.ensure_future(self.socket.poll(int(seconds * 1000)))
        if self.ended is None or self.ended.done():
            return bool(await arriving)
        try:
            either: tuple[asyncio.Future[Any], ...] = (arriving, self.ended)
            await asyncio.wait(either, return_when=asyncio.FIRST_COMPLETED)
            return arriving.done() and bool(arriving.result())
        finally:
            arriving.cancel()

    async def _receive(self) -> dict[str, Any] | None:
        """The message that is there; None if it is none of Jupyter's: a notebook can write to its kernel's sockets."""
        frames = await self.socket.recv_multipart()
        self.received(sum(map(len, frames)))
        try:
            _, rest = self.session.feed_identities(frames)
            message: dict[str, Any] = self.session.deserialize(rest)
            return message if _is_message(message) else None
        except (ValueError, TypeError, KeyError, IndexError, RecursionError):
            return None


def _is_message(message: dict[str, Any]) -> bool:
    return (
        isinstance(message.get("msg_type"), str)
        and isinstance(message.get("content"), dict)
        and isinstance(message.get("parent_header"), dict)
    )


class KernelSession(AsyncKernelClient):  # type: ignore[misc,unused-ignore] # a traitlets class
    """A client of one kernel."""

    shell_channel_class = Type(_Channel)
    iopub_channel_class = Type(_Channel)
    kernel: Kernel
    watcher: asyncio.Task[None]

    @override
    async def is_alive(self) -> bool:
        """Whether the kernel's process runs."""
        return self.kernel.is_alive()

    def count_output(self, received: Callable[[int], None]) -> None:
        """Tell the size of each message of output, before it is decoded, to this function from now on."""
        self.iopub_channel.received = received


async def open_session(
    kernel: Kernel, *, seconds: float, largest_message: int, lost: Callable[[], None]
) -> tuple[KernelSession, dict[str, Any]]:
    """Connect to a kernel and wait until it answers and its output arrives.

    Args:
        kernel: the process.
        seconds: how long it may take to be ready.
        largest_message: no message larger than this, and some, is taken in.
        lost: called when the kernel's output was cut off although the kernel lives, which a message too large does.

    Returns:
        The session and the content of the kernel's ``kernel_info_reply``.

    Raises:
        DeadKernelError: the kernel ended before it was ready.
        TimeoutError: it was not ready in time.
    """
    context = zmq.asyncio.Context()
    # No limit on queued messages: at a limit the kernel's side would drop output silently. What arrives is counted instead.
    context.setsockopt(zmq.RCVHWM, 0)
    context.setsockopt(zmq.LINGER, 0)
    context.setsockopt(zmq.RECONNECT_IVL, _RECONNECT_MILLISECONDS)
    context.setsockopt(zmq.MAXMSGSIZE, max(largest_message + _MESSAGE_SPARE, _MESSAGE_LEAST))
    session = KernelSession(context=context)
    session.kernel = kernel
    session.load_connection_info(cast("KernelConnectionInfo", kernel.connection))
    session.start_channels(stdin=False, hb=False, control=False)
    session.shell_channel.alive = session.iopub_channel.alive = kernel.is_alive
    session.shell_channel.ended = session.iopub_channel.ended = _end_of(kernel)
    try:
        async with asyncio.timeout(seconds):
            reply = await _ready(session)
            if kernel.spec.is_ipykernel:
                await _reply_to(session, session.execute(_SET_UP, silent=True, store_history=False))
    except (DeadKernelError, TimeoutError):
        # Left to the garbage collector, a context waits for its sockets without end.
        context.destroy(linger=0)
        raise
    monitor = session.iopub_channel.socket.get_monitor_socket(zmq.EVENT_DISCONNECTED)
    session.watcher = asyncio.create_task(_watch_connection(monitor, kernel, lost))
    return session, reply["content"]


async def close_session(session: KernelSession) -> None:
    """Ask the kernel to shut down, so that it runs its exit handlers, and let go of it without waiting for its end."""
    session.watcher.cancel()
    if session.kernel.is_alive():
        # On the shell channel: asked on the control channel, ipykernel 7 often waits for its own control thread without end.
        session.shell_channel.send(session.session.msg("shutdown_request", {"restart": False}))
        # The answer tells that the request has left; a socket that is closed too early takes it along.
        await session.shell_channel.socket.poll(int(_GOODBYE_SECONDS * 1000))
    session.context.destroy(linger=0)


def _end_of(kernel: Kernel) -> asyncio.Future[None] | None:
    """Comes true when the kernel's process ends; None where that has to be looked after."""
    notice = kernel.end_notice
    if notice is None:
        return None
    loop = asyncio.get_running_loop()
    ended: asyncio.Future[None] = loop.create_future()

    def tell() -> None:
        loop.remove_reader(notice)
        ended.set_result(None)

    loop.add_reader(notice, tell)
    return ended


async def _ready(session: KernelSession) -> dict[str, Any]:
    """The kernel's answer, given only once its output channel is known to reach us: a subscription takes a moment to arrive."""
    iopub = session.iopub_channel.socket
    while True:
        reply = await _reply_to(session, session.kernel_info())
        if await iopub.poll(int(_SUBSCRIBE_SECONDS * 1000)):
            return reply


async def _reply_to(session: KernelSession, request: str) -> dict[str, Any]:
    while True:
        reply: dict[str, Any] = await session.shell_channel.get_msg()
        if reply["parent_header"].get("msg_id") == request:
            return reply


async def _watch_connection(monitor: zmq.asyncio.Socket, kernel: Kernel, lost: Callable[[], None]) -> None:
    await monitor.recv_multipart()
    await asyncio.sleep(_LOOK_SECONDS)
    if kernel.is_alive():
        lost()
