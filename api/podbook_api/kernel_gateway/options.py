"""The options of the Jupyter Kernel Gateway, by their names: command line, ``KG_*`` variables and ``jupyter_kernel_gateway_config.py``."""

import os
from typing import Any

from jupyter_core.application import JupyterApp, base_aliases
from traitlets import Bool, CBool, Dict, Float, Integer, List, TraitError, Unicode, default
from traitlets.config.configurable import LoggingConfigurable

from podbook_core import __version__

__all__ = ["KernelGatewayApp", "NotebookHTTPPersonality"]

MODE = "kernel_gateway.notebook_http"
_MODES = (MODE, "notebook-http")
_PARSERS = ("kernel_gateway.notebook_http.cell.parser", "kernel_gateway.notebook_http.swagger.parser")


def _variable(name: str, otherwise: Any = "") -> Any:
    value = os.environ.get(name)
    return otherwise if value is None else value


def _number(name: str, otherwise: int | None) -> int | None:
    value = os.environ.get(name)
    try:
        return otherwise if value in (None, "") else int(str(value))
    except ValueError:
        raise TraitError(f"{name} must be an integer, not {str(value)[:40]!r}") from None


class NotebookHTTPPersonality(LoggingConfigurable):
    """How a notebook is read, and what is served beside its cells."""

    cell_parser = Unicode(
        _PARSERS[0], config=True, help=f"How cells say what they answer: {_PARSERS[0]} or {_PARSERS[1]}. (KG_CELL_PARSER env var)"
    )
    comment_prefix = Dict({"scala": "//", None: "#"}, config=True, help="What begins a comment, by the kernel's language.")
    allow_notebook_download = Bool(
        config=True, help="Serve the notebook's file at /_api/source. (KG_ALLOW_NOTEBOOK_DOWNLOAD env var)"
    )
    static_path = Unicode(
        None, config=True, allow_none=True, help="Serve the files of this folder at /public. (KG_STATIC_PATH env var)"
    )
    request_timeout = Float(
        600.0,
        config=True,
        help="Seconds that a request may take; then it is answered with 504, and its kernel replaced. (KG_REQUEST_TIMEOUT env var)",
    )

    @default("cell_parser")
    def _cell_parser(self) -> str:
        return str(_variable("KG_CELL_PARSER", _PARSERS[0]))

    @default("allow_notebook_download")
    def _allow_notebook_download(self) -> bool:
        return str(_variable("KG_ALLOW_NOTEBOOK_DOWNLOAD", "False")) == "True"

    @default("static_path")
    def _static_path(self) -> str | None:
        return os.environ.get("KG_STATIC_PATH")

    @default("request_timeout")
    def _request_timeout(self) -> float:
        return float(_variable("KG_REQUEST_TIMEOUT", "600"))

    @property
    def reads_swagger(self) -> bool:
        """Whether a Swagger document in a Markdown cell says what there is.

        Raises:
            ValueError: there is no such parser.
        """
        if self.cell_parser not in _PARSERS:
            raise ValueError(f"cell_parser must be {_PARSERS[0]} or {_PARSERS[1]}, not {self.cell_parser}")
        return bool(self.cell_parser == _PARSERS[1])


class KernelGatewayApp(JupyterApp):
    """The program; its options and those of :class:`NotebookHTTPPersonality` are all there are."""

    name = "jupyter-kernel-gateway"
    version = __version__
    description = (
        "Serves notebooks whose annotated cells answer HTTP requests, as the Jupyter Kernel Gateway does in its notebook-http mode."
    )
    classes = [NotebookHTTPPersonality]
    aliases = {
        **base_aliases,
        "ip": "KernelGatewayApp.ip",
        "port": "KernelGatewayApp.port",
        "port_retries": "KernelGatewayApp.port_retries",
        "api": "KernelGatewayApp.api",
        "seed_uri": "KernelGatewayApp.seed_uri",
        "keyfile": "KernelGatewayApp.keyfile",
        "certfile": "KernelGatewayApp.certfile",
        "client-ca": "KernelGatewayApp.client_ca",
        "ssl_version": "KernelGatewayApp.ssl_version",
    }

    api = Unicode(config=True, help=f"Must be {MODE}, or notebook-http for short. (KG_API env var)")
    seed_uri = Unicode(
        None,
        config=True,
        allow_none=True,
        help="The notebook to serve, or a folder of notebooks, each below its name. (KG_SEED_URI env var)",
    )
    ip = Unicode("127.0.0.1", config=True, help="Address to listen on; * for all. (KG_IP env var)")
    port = Integer(8888, config=True, help="Port to listen on. (KG_PORT env var)")
    port_retries = Integer(50, config=True, help="Ports to try when that one is taken. (KG_PORT_RETRIES env var)")
    base_url = Unicode("/", config=True, help="Path before all routes. (KG_BASE_URL env var)")
    auth_token = Unicode(config=True, help="Token that requests must carry. (KG_AUTH_TOKEN env var)")
    prespawn_count = Integer(
        None, config=True, allow_none=True, help="Kernels that take requests in turn; 1 when absent. (KG_PRESPAWN_COUNT env var)"
    )
    max_kernels = Integer(None, config=True, allow_none=True, help="Most kernels there may be. (KG_MAX_KERNELS env var)")
    force_kernel_name = Unicode(config=True, help="Kernel to use, whichever the notebook names. (KG_FORCE_KERNEL_NAME env var)")
    default_kernel_name = Unicode(config=True, help="Kernel to use where the notebook names none. (KG_DEFAULT_KERNEL_NAME env var)")
    allow_credentials = Unicode(config=True, help="Access-Control-Allow-Credentials. (KG_ALLOW_CREDENTIALS env var)")
    allow_headers = Unicode(config=True, help="Access-Control-Allow-Headers. (KG_ALLOW_HEADERS env var)")
    allow_methods = Unicode(config=True, help="Access-Control-Allow-Methods. (KG_ALLOW_METHODS env var)")
    allow_origin = Unicode(config=True, help="Access-Control-Allow-Origin. (KG_ALLOW_ORIGIN env var)")
    expose_headers = Unicode(config=True, help="Access-Control-Expose-Headers. (KG_EXPOSE_HEADERS env var)")
    max_age = Unicode(config=True, help="Access-Control-Max-Age. (KG_MAX_AGE env var)")
    trust_xheaders = CBool(config=True, help="Take the caller's address from X-Forwarded-For. (KG_TRUST_XHEADERS env var)")
    certfile = Unicode(None, config=True, allow_none=True, help="Certificate for TLS. (KG_CERTFILE env var)")
    keyfile = Unicode(None, config=True, allow_none=True, help="Its private key. (KG_KEYFILE env var)")
    client_ca = Unicode(
        None, config=True, allow_none=True, help="Authority whose certificates clients must show. (KG_CLIENT_CA env var)"
    )
    ssl_version = Integer(
        None,
        config=True,
        allow_none=True,
        help="Accepted, and without effect: TLS 1.2 or newer is spoken. (KG_SSL_VERSION env var)",
    )
    env_process_whitelist: Any = List(
        config=True,
        help="Accepted, and without effect in this mode: kernels inherit the environment. (KG_ENV_PROCESS_WHITELIST env var)",
    )
    ws_ping_interval = Integer(
        30, config=True, help="Accepted, and without effect in this mode. (KG_WS_PING_INTERVAL_SECS env var)"
    )
    cookie_secret_file = Unicode(config=True, help="Accepted, and without effect in this mode.")

    kernel_spec_manager_class = Unicode(config=True, help="Refused: Podbook has kernels of its own.")
    kernel_manager_class = Unicode(config=True, help="Refused: Podbook has kernels of its own.")
    authorizer_class = Unicode(config=True, help="Refused: who may call is decided by the token alone.")
    identity_provider_class = Unicode(config=True, help="Refused: who may call is decided by the token alone.")
    kernel_websocket_connection_class = Unicode(config=True, help="Accepted, and without effect in this mode.")

    @default("api")
    def _api(self) -> str:
        return str(_variable("KG_API"))

    @default("seed_uri")
    def _seed_uri(self) -> str | None:
        return os.environ.get("KG_SEED_URI")

    @default("ip")
    def _ip(self) -> str:
        return str(_variable("KG_IP", "127.0.0.1"))

    @default("port")
    def _port(self) -> int:
        return _number("KG_PORT", 8888) or 0

    @default("port_retries")
    def _port_retries(self) -> int:
        return _number("KG_PORT_RETRIES", 50) or 0

    @default("base_url")
    def _base_url(self) -> str:
        return str(_variable("KG_BASE_URL", "/"))

    @default("auth_token")
    def _auth_token(self) -> str:
        return str(_variable("KG_AUTH_TOKEN"))

    @default("prespawn_count")
    def _prespawn_count(self) -> int | None:
        return _number("KG_PRESPAWN_COUNT", None)

    @default("max_kernels")
    def _max_kernels(self) -> int | None:
        return _number("KG_MAX_KERNELS", None)

    @default("force_kernel_name")
    def _force_kernel_name(self) -> str:
        return str(_variable("KG_FORCE_KERNEL_NAME"))

    @default("default_kernel_name")
    def _default_kernel_name(self) -> str:
        return str(_variable("KG_DEFAULT_KERNEL_NAME"))

    @default("allow_credentials")
    def _allow_credentials(self) -> str:
        return str(_variable("KG_ALLOW_CREDENTIALS"))

    @default("allow_headers")
    def _allow_headers(self) -> str:
        return str(_variable("KG_ALLOW_HEADERS"))

    @default("allow_methods")
    def _allow_methods(self) -> str:
        return str(_variable("KG_ALLOW_METHODS"))

    @default("allow_origin")
    def _allow_origin(self) -> str:
        return str(_variable("KG_ALLOW_ORIGIN"))

    @default("expose_headers")
    def _expose_headers(self) -> str:
        return str(_variable("KG_EXPOSE_HEADERS"))

    @default("max_age")
    def _max_age(self) -> str:
        return str(_variable("KG_MAX_AGE"))

    @default("trust_xheaders")
    def _trust_xheaders(self) -> bool:
        return str(_variable("KG_TRUST_XHEADERS", "False")).lower() == "true"

    @default("certfile")
    def _certfile(self) -> str | None:
        return os.environ.get("KG_CERTFILE")

    @default("keyfile")
    def _keyfile(self) -> str | None:
        return os.environ.get("KG_KEYFILE")

    @default("client_ca")
    def _client_ca(self) -> str | None:
        return os.environ.get("KG_CLIENT_CA")

    @default("ssl_version")
    def _ssl_version(self) -> int | None:
        return _number("KG_SSL_VERSION", None)

    @default("env_process_whitelist")
    def _env_process_whitelist(self) -> list[str]:
        return str(_variable("KG_ENV_PROCESS_WHITELIST")).split(",")

    @property
    def problem(self) -> str | None:
        """Why it cannot be started as it is configured, in a sentence; None when it can."""
        if self.api not in _MODES:
            given = f", not {self.api}" if self.api else ""
            return f"only notebook-http is served: give --KernelGatewayApp.api={MODE}{given}"
        if not self.seed_uri:
            return "no notebook is named: give --KernelGatewayApp.seed_uri=FILE"
        if "://" in self.seed_uri:
            return f"--KernelGatewayApp.seed_uri must be a file on this machine, not {self.seed_uri}: download the notebook first"
        if self.max_kernels is not None and (self.prespawn_count or 1) > self.max_kernels:
            return f"Cannot prespawn {self.prespawn_count or 1} kernels; more than max kernels {self.max_kernels}"
        for name in ("kernel_spec_manager_class", "kernel_manager_class", "authorizer_class", "identity_provider_class"):
            if getattr(self, name):
                # To pass over one of the last two would open what its owner believes to be shut.
                return f"--KernelGatewayApp.{name} cannot be followed here: remove it"
        if self.prespawn_count is not None and self.prespawn_count < 0:
            return "prespawn_count must not be negative"
        return None
