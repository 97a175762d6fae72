"""The gateway put together and served until it is told to stop."""

import asyncio
import contextlib
import errno
import logging
import random
import signal
import socket
import ssl
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import uvicorn
from traitlets import TraitError
from typing_extensions import override

from podbook_api.http_server import server_config
from podbook_api.kernel_gateway.application import Gateway, GatewaySettings
from podbook_api.kernel_gateway.options import KernelGatewayApp, NotebookHTTPPersonality
from podbook_api.kernel_gateway.seed import Seed, SeedError, SeedOptions, find_seeds, started
from podbook_api.kernel_gateway.token import hide_token, without_token
from podbook_api.settings import ApiSettings

__all__ = ["run"]

_log = logging.getLogger("KernelGatewayApp")
_LOOK_SECONDS = 1.0
_HANG_UP_SECONDS = 5
_SETTLE_SECONDS = 0.3


def run(arguments: list[str]) -> int:
    """``podbook kernelgateway``. Returns the exit code: 0 after it was told to stop, 1 when it cannot be started as configured."""
    arguments = without_token(arguments)
    app = KernelGatewayApp.instance()
    app.initialize(arguments)
    if app.generate_config:
        app.write_default_config()
        return 0
    _log_as_the_gateway(str(app.log_level))
    swagger = False
    try:
        personality = NotebookHTTPPersonality(parent=app)
        for options in (app, personality):  # a variable is read when its option is first asked for
            for name in options.trait_names(config=True):
                getattr(options, name)
        problem = app.problem
        swagger = personality.reads_swagger
    except (ValueError, TraitError) as error:
        problem = str(error)
    hide_token(app)
    if problem is not None:
        _log.error("%s", problem)
        return 1
    try:
        return asyncio.run(_serve(app, personality, swagger=swagger))
    except SeedError as error:
        _log.error("%s", error)
        return 1
    except OSError as error:
        _log.error("cannot listen on %s port %s: %s", app.ip, app.port, error.strerror or error)
        return 1


async def _serve(app: KernelGatewayApp, personality: NotebookHTTPPersonality, *, swagger: bool) -> int:
    options = SeedOptions(
        swagger=swagger,
        prefixes={str(name or ""): str(sign) for name, sign in personality.comment_prefix.items()},
        force_kernel=app.force_kernel_name,
        default_kernel=app.default_kernel_name,
        kernels=app.prespawn_count or 1,
    )
    listener, port = _listen(app)
    with contextlib.closing(listener):
        if app.ip in ("*", "", "0.0.0.0", "::") and not app.auth_token:  # noqa: S104 - compared only
            _log.warning("every host that reaches this one can run the notebook's code: set KG_AUTH_TOKEN to ask for a token")
        seeds: dict[str, Seed] = {}
        try:
            seeds.update(await _started(find_seeds(Path(str(app.seed_uri))), options))
            settings = _settings(app, personality)
            gateway = Gateway(settings, seeds)
            _tell_routes(gateway.seeds, settings)
            watcher = asyncio.create_task(_watch(gateway, options))
            server = _Server(_config(app, gateway))
            scheme = "https" if app.certfile else "http"
            _log.info("Jupyter Kernel Gateway at %s://%s:%s", scheme, app.ip, port)
            await server.serve(sockets=[listener])
            watcher.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await watcher
            seeds = gateway.seeds
            return 0
        finally:
            await asyncio.gather(*(seed.pool.close() for seed in seeds.values()))


async def _started(paths: Mapping[str, Path], options: SeedOptions) -> dict[str, Seed]:
    """Make notebooks ready. Of several, those that cannot be served are left out.

    Raises:
        SeedError: the only one cannot be served, or none can.
    """
    made = await asyncio.gather(*(started(path, options) for path in paths.values()), return_exceptions=True)
    seeds = {prefix: item for prefix, item in zip(paths, made, strict=True) if isinstance(item, Seed)}
    problems = [item for item in made if isinstance(item, BaseException)]
    for problem in problems:
        if not seeds or not isinstance(problem, SeedError):
            await asyncio.gather(*(seed.pool.close() for seed in seeds.values()))
            raise problem
        _log.warning("%s", problem)
    return seeds


class _Server(uvicorn.Server):
    """Uvicorn that leaves the exit code to us."""

    @override
    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """See :meth:`uvicorn.Server.capture_signals`; the signal is not raised again afterwards."""
        loop = asyncio.get_running_loop()
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(number, self.handle_exit, number, None)
        yield


def _settings(app: KernelGatewayApp, personality: NotebookHTTPPersonality) -> GatewaySettings:
    cross_origin = {
        "Access-Control-Allow-Credentials": app.allow_credentials,
        "Access-Control-Allow-Headers": app.allow_headers,
        "Access-Control-Allow-Methods": app.allow_methods,
        "Access-Control-Allow-Origin": app.allow_origin,
        "Access-Control-Expose-Headers": app.expose_headers,
        "Access-Control-Max-Age": app.max_age,
    }
    base = "/" + app.base_url.strip("/")
    return GatewaySettings(
        base="" if base == "/" else base,
        token=app.auth_token,
        cross_origin={name: value for name, value in cross_origin.items() if value},
        seconds=personality.request_timeout,
        source=personality.allow_notebook_download,
        static=None if personality.static_path is None else Path(personality.static_path),
    )


def _config(app: KernelGatewayApp, gateway: Gateway) -> uvicorn.Config:
    tls: dict[str, Any] = {}
    if app.certfile:
        tls = {"ssl_certfile": app.certfile, "ssl_keyfile": app.keyfile}
        if app.client_ca:
            tls.update(ssl_ca_certs=app.client_ca, ssl_cert_reqs=ssl.CERT_REQUIRED)
    return server_config(
        gateway,
        ApiSettings.model_construct(),  # their defaults: nothing but the options of the gateway counts here
        lifespan="off",
        proxy_headers=app.trust_xheaders,
        forwarded_allow_ips="*" if app.trust_xheaders else None,
        timeout_graceful_shutdown=_HANG_UP_SECONDS,
        **tls,
    )


def _listen(app: KernelGatewayApp) -> tuple[socket.socket, int]:
    """A socket on the configured port, or on one of those that are tried after it."""
    host = "" if app.ip == "*" else app.ip
    both = not host and socket.has_dualstack_ipv6()
    family = socket.AF_INET6 if both or ":" in host else socket.AF_INET
    for port in _ports(app.port, app.port_retries):
        # With its protocol: asyncio sends small answers at once (TCP_NODELAY) only on sockets that say it.
        listener = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if both:
            listener.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
        try:
            listener.bind((host, port))
            listener.listen(2048)
        except OSError as error:
            listener.close()
            if error.errno != errno.EADDRINUSE:
                raise
            _log.info("The port %s is already in use, trying another port.", port)
        else:
            return listener, listener.getsockname()[1]
    raise OSError(errno.EADDRINUSE, "no port that was tried is free")


def _ports(port: int, retries: int) -> Iterator[int]:
    yield port
    for number in range(retries):
        yield port + number + 1 if number < 5 else max(1, port + random.randint(-2 * retries, 2 * retries))  # noqa: S311 - no secret


def _tell_routes(seeds: Mapping[str, Seed], settings: GatewaySettings) -> None:
    base = settings.base
    if settings.source:
        _log.info("Registering resource: %s/_api/source, methods: (GET)", base)
    if settings.static is not None:
        _log.info("Registering resource: %s/public/(.*), methods: (GET)", base)
    for prefix, seed in seeds.items():
        for endpoint in seed.cells.endpoints:
            _log.info("Registering resource: %s%s%s, methods: (%s)", base, prefix, endpoint.path, list(endpoint.handlers))
        for warning in seed.cells.warnings:
            _log.warning("%s: %s", seed.path.name, warning)
        _log.info("Registering resource: %s%s/_api/spec/swagger.json, methods: (GET)", base, prefix)


async def _watch(gateway: Gateway, options: SeedOptions) -> None:
    """Reload a notebook when its file has changed; one that cannot be served leaves the one before in its place."""
    retiring: set[asyncio.Task[None]] = set()
    seen = {prefix: _state(seed.path) for prefix, seed in gateway.seeds.items()}
    try:
        await _look(gateway, options, seen, retiring)
    finally:
        for task in retiring:
            task.cancel()
        await asyncio.gather(*retiring, return_exceptions=True)


async def _look(
    gateway: Gateway, options: SeedOptions, seen: dict[str, tuple[int, int] | None], retiring: set[asyncio.Task[None]]
) -> None:
    while True:
        await asyncio.sleep(_LOOK_SECONDS)
        for prefix, seed in list(gateway.seeds.items()):
            now = _state(seed.path)
            if now in (None, seen[prefix]):
                continue
            await asyncio.sleep(_SETTLE_SECONDS)
            seen[prefix] = _state(seed.path)
            try:
                fresh = await started(seed.path, options)
            except SeedError as error:
                _log.error("%s has changed and cannot be served; the one before still is: %s", seed.path, error)
                continue
            gateway.seeds[prefix] = fresh
            _log.info("%s has changed and was reloaded", seed.path)
            retiring.add(asyncio.create_task(_retire(seed)))
            retiring -= {task for task in retiring if task.done()}


async def _retire(seed: Seed) -> None:
    """End the kernels of a notebook that was replaced, after they have answered what was asked of them before."""
    try:
        await asyncio.sleep(_LOOK_SECONDS)  # a request may just be reading its body
        await seed.pool.drain()
    finally:
        await seed.pool.close()


def _state(path: Path) -> tuple[int, int] | None:
    try:
        status = path.stat()
    except OSError:
        return None
    return status.st_mtime_ns, status.st_size


def _log_as_the_gateway(level: str) -> None:
    """Lines as the gateway writes them, on standard error."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(logging.Formatter("[KernelGatewayApp] %(message)s"))
    logging.basicConfig(level=int(level) if level.isdecimal() else level, handlers=[handler], force=True)
    logging.getLogger("uvicorn.error").setLevel(logging.WARNING)
    logging.getLogger("asyncio").setLevel(logging.WARNING)
