"""``podbook serve``: notebooks of a folder as a REST API, on this machine, with Python and nothing else.

Every option may come from the environment as well, under the name of its setting (``PODBOOK_PORT``); an option given wins.
"""

import asyncio
import contextlib
import errno
import logging
import signal
import socket
import threading
from collections.abc import Iterator
from pathlib import Path
from types import FrameType
from typing import Any

import click
import uvicorn
from pydantic import ValidationError
from pydantic_settings import SettingsError
from typing_extensions import override

from podbook.cli.failure import Failure, printable
from podbook_api.backends.embedded.supervisor import StopReport
from podbook_api.http_server import server_config
from podbook_api.serve.app import Embedded, SetupError, build_embedded
from podbook_api.serve.banner import Listed, banner
from podbook_api.settings import ApiSettings
from podbook_core.notebook.versions import UnreadableVersionError
from podbook_core.store.base import StoreUnavailableError

__all__ = ["serve"]

_USAGE = 2
_HANG_UP_SECONDS = 5
"""How long open connections may go on once the server is told to stop."""
_NOTEBOOKS = Path("notebooks")
_PATH = click.Path(path_type=Path)


@click.command()
@click.option("--notebooks-dir", type=_PATH, metavar="DIR", help="Folder whose notebooks are served.  [notebooks]")
@click.option("--data-dir", type=_PATH, metavar="DIR", help="Folder for executions and results.  [.podbook]")
@click.option("--host", help="Address to listen on.  [127.0.0.1]")
@click.option("--port", type=int, help="Port to listen on; 0 picks a free one.  [8000]")
@click.option("--max-concurrent", type=int, metavar="N", help="Maximum number of concurrent runs.  [one per processor]")
@click.option("--max-queued", type=int, metavar="N", help="Maximum number of waiting executions; above it callers get 429.  [1000]")
@click.option(
    "--api-keys", "keys_file", type=_PATH, metavar="FILE", help="File of API keys that callers need (podbook keys create)."
)
@click.option("--allow-anonymous", is_flag=True, default=None, help="Serve callers without a key, on any address.")
@click.option(
    "--profiles", "profiles_file", type=_PATH, metavar="FILE", help="JSON file of profiles: time and memory limits to choose from."
)
@click.option("--retention-days", type=int, metavar="N", help="Days that ended executions are kept.  [0: always]")
@click.option(
    "--door", "doors", multiple=True, metavar="NAME", help="Open this door; may be repeated.  [all that do not take over /]"
)
@click.option("--door-root", metavar="NAME", help="Open this door at / as well: dsapi.")
@click.option("--log-level", metavar="LEVEL", help="debug, info, warning or error.  [info]")
@click.option("--access-log", is_flag=True, help="Log every request.")
def serve(*, access_log: bool, **options: Any) -> int:
    """Serve the notebooks of a folder as a REST API.

    Every call runs its notebook in its own process. Executions survive the server: restarted on the same --data-dir, it continues
    where it was.
    """
    try:
        settings = _settings({name: value for name, value in options.items() if value not in (None, ())})
        _log_to_stderr(settings.log_level)
        with (
            contextlib.closing(_listen(settings.host, settings.port)) as listener,
            contextlib.closing(build_embedded(settings, on_stop=_report)) as embedded,
        ):
            text = _banner(embedded, settings, _url(settings.host, listener.getsockname()[1]))
            return _run(embedded, settings, listener, text, access_log=access_log)
    except SetupError as error:
        raise _refused(str(error)) from error


class _Server(uvicorn.Server):
    """Uvicorn that says when it is ready, answers waiting callers before it stops, and leaves the exit code to us."""

    def __init__(self, config: uvicorn.Config, embedded: Embedded, text: str) -> None:
        super().__init__(config)
        self._embedded = embedded
        self._text = text

    @override
    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        if self.started:
            click.echo(self._text)

    @override
    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        self._embedded.backend.quiesce()
        await super().shutdown(sockets)

    @override
    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        if threading.current_thread() is not threading.main_thread():
            yield
            return
        before = {number: signal.signal(number, self.handle_exit) for number in (signal.SIGINT, signal.SIGTERM)}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)

    @override
    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        if not self.should_exit:
            click.echo("\nStopping …", err=True)
        super().handle_exit(sig, frame)


def _run(embedded: Embedded, settings: ApiSettings, listener: socket.socket, text: str, *, access_log: bool) -> int:
    config = server_config(embedded.app, settings, access_log=access_log, timeout_graceful_shutdown=_HANG_UP_SECONDS)
    server = _Server(config, embedded, text)
    asyncio.run(server.serve(sockets=[listener]))
    return 0 if server.started else 1


def _settings(given: dict[str, Any]) -> ApiSettings:
    try:
        settings = ApiSettings(**given)
    except ValidationError as error:
        first = error.errors(include_input=False, include_url=False)[0]
        name = "_".join(map(str, first["loc"]))
        raise SetupError(f"--{name.replace('_', '-')} (PODBOOK_{name.upper()}): {first['msg']}") from error
    except SettingsError as error:  # a variable that should hold JSON holds none
        raise SetupError(str(error)) from error
    return settings if settings.notebooks_dir is not None else settings.model_copy(update={"notebooks_dir": _NOTEBOOKS})


def _listen(host: str, port: int) -> socket.socket:
    """A listening socket, bound before anything else is touched: a server whose port is taken changes nothing."""
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)[0]
    except OSError as error:
        raise SetupError(f"--host {host} is not an address of this machine: {error.strerror or error}") from error
    listener = socket.socket(family, kind, protocol)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(address)
        listener.listen(2048)
    except OSError as error:
        listener.close()
        if error.errno == errno.EADDRINUSE:
            raise SetupError(f"port {port} of {host} is in use; choose another with --port (0 picks a free one)") from error
        raise SetupError(f"cannot listen on {host} port {port}: {error.strerror or error}") from error
    return listener


def _url(host: str, port: int) -> str:
    shown = {"0.0.0.0": "127.0.0.1", "::": "[::1]"}.get(host, f"[{host}]" if ":" in host else host)  # noqa: S104 - compared only
    return f"http://{shown}:{port}"


def _banner(embedded: Embedded, settings: ApiSettings, url: str) -> str:
    try:
        listed = _listed(embedded)
    except StoreUnavailableError as error:
        raise SetupError(str(error)) from error
    text = banner(
        url,
        listed,
        folder=None if settings.notebooks_dir is None else str(settings.notebooks_dir),
        data_dir=str(settings.data_dir),
        max_concurrent=embedded.backend.max_concurrent,
        keys_required=settings.keys_file is not None,
        anonymous_everywhere=settings.allow_anonymous,
    )
    return printable(text)


def _listed(embedded: Embedded) -> list[Listed]:
    broken = {} if embedded.folder is None else embedded.folder.broken()
    listed = [Listed(name, problem=problem) for name, problem in broken.items()]
    for name in embedded.versions.names():
        try:
            pointer = embedded.versions.current(name)
            version = None if pointer is None else embedded.versions.load(name, pointer.version)
        except UnreadableVersionError as error:
            if name not in broken:
                listed.append(Listed(name, problem=str(error)))
            continue
        if version is not None and name not in broken:
            listed.append(Listed(name, title=version.contract.title, input=version.contract.input))
    return sorted(listed, key=lambda item: item.name)


def _log_to_stderr(level: str) -> None:
    """One line per event. Uvicorn's own chatter is left out; what goes wrong is not."""
    logging.basicConfig(format="%(asctime)s %(levelname)s %(message)s", datefmt="%H:%M:%S", level=level.upper())
    logging.getLogger("uvicorn.error").setLevel(logging.WARNING)


def _report(report: StopReport) -> None:
    if report.running:
        runs = "run was" if report.running == 1 else "runs were"
        click.echo(f"{report.running} {runs} interrupted; unfinished runs start again with the server.", err=True)
    if report.left_alive:
        click.echo(f"{report.left_alive} did not stop in time; the next server on this data directory takes over.", err=True)
    if report.waiting:
        click.echo(f"{report.waiting} waiting in the queue; the next server on this data directory runs them.", err=True)


def _refused(message: str) -> Failure:
    return Failure(message, exit_code=_USAGE)
