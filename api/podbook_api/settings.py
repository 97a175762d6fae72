"""Settings of the API, read once in the entry point and passed down. Every one may come as ``PODBOOK_<NAME>``, nested with ``__``."""

import json
from pathlib import Path
from typing import Annotated, Any

from pydantic import BeforeValidator, Field, StringConstraints
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

from podbook_core.environment import PREFIX
from podbook_core.store.s3_settings import S3Section

__all__ = ["ApiSettings"]

_MIB = 1024 * 1024


def _names(value: Any) -> Any:
    """Names as people write them into a variable, ``native,jupyrest2``, and as Helm does: JSON."""
    if not isinstance(value, str):
        return value
    return json.loads(value) if value.lstrip().startswith("[") else [name.strip() for name in value.split(",") if name.strip()]


class ApiSettings(BaseSettings):
    """Settings of one API process, in both modes. Sizes in bytes, times in seconds."""

    model_config = SettingsConfigDict(env_prefix=PREFIX, env_nested_delimiter="__", frozen=True, extra="forbid")

    host: Annotated[str, Field(description="Address to listen on.")] = "127.0.0.1"
    port: Annotated[int, Field(ge=0, le=65535, description="Port to listen on; 0 picks a free one.")] = 8000
    namespace: Annotated[str, Field(description="Namespace of the NotebookExecutions (cluster mode).")] = "podbook-runs"
    s3: Annotated[S3Section | None, Field(description="Storage (cluster mode).")] = None
    data_dir: Annotated[Path, Field(description="Folder for executions and results (embedded mode).")] = Path(".podbook")
    notebooks_dir: Annotated[Path | None, Field(description="Folder whose notebooks are published (embedded mode).")] = None
    keys_file: Annotated[Path | None, Field(description="JSON file with the hashes and scopes of the API keys.")] = None
    allow_anonymous: Annotated[
        bool, Field(description="Serve callers without a key, on any address; such callers may do everything.")
    ] = False
    link_secret_file: Annotated[
        Path | None, Field(description="File with at least 32 random bytes that sign links; the same for every replica.")
    ] = None
    profiles_file: Annotated[Path | None, Field(description="JSON file with the profiles offered to callers.")] = None
    max_concurrent: Annotated[
        int | None,
        Field(ge=1, le=1000, description="Maximum number of concurrent runs (embedded mode); one per processor when absent."),
    ] = None
    max_queued: Annotated[int, Field(ge=1, description="Maximum number of waiting executions; above it callers get 429.")] = 1000
    max_json_bytes: Annotated[int, Field(ge=1024, description="Maximum size of a JSON request body, in bytes.")] = _MIB
    max_upload_bytes: Annotated[int, Field(ge=1024, description="Maximum size of a request body with files, in bytes.")] = (
        100 * _MIB
    )
    max_connections: Annotated[
        int,
        Field(
            ge=16,
            description="Maximum number of open connections; above it idle ones are closed, and if none is idle, callers get 503.",
        ),
    ] = 1000
    max_event_streams_per_key: Annotated[
        int,
        Field(
            ge=1,
            description="Maximum number of event streams open per key and process (all callers without a key share one limit); above it callers get 429.",
        ),
    ] = 100
    request_timeout_seconds: Annotated[
        int,
        Field(
            ge=1,
            description="Seconds in which the headers of a request must arrive; the body must then arrive at 4 KiB a second or faster, averaged over this time. Otherwise 408.",
        ),
    ] = 30
    retention_days: Annotated[int, Field(ge=0, description="Days that ended executions are kept (embedded mode); 0 keeps all.")] = 0
    doors: Annotated[
        tuple[str, ...],
        NoDecode,
        BeforeValidator(_names),
        Field(
            description="Doors that are open in addition to health and documentation, by name; when empty, all that do not take over `/`."
        ),
    ] = ()
    door_root: Annotated[
        str,
        Field(
            description="A door that also answers at `/`, for clients whose addresses cannot change: dsapi. Every other address wins."
        ),
    ] = ""
    cors_origins: Annotated[tuple[str, ...], Field(description="Web origins whose pages may call the API; none by default.")] = ()
    log_level: Annotated[
        str,
        StringConstraints(to_lower=True),
        Field(
            pattern="^(?i:debug|info|warning|error)$", description="Minimum severity that is logged: debug, info, warning or error."
        ),
    ] = "info"
