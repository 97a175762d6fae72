"""The operator's settings: from the environment, read once, never changed. Every one can be set from the chart's values."""

from pathlib import Path
from typing import Annotated, Any

import yaml
from pydantic import Field, StringConstraints
from pydantic_settings import BaseSettings, SettingsConfigDict

from podbook_core.environment import PREFIX
from podbook_core.execution.deadlines import DEFAULT_PUBLISH_TIMEOUT
from podbook_core.execution.profiles import Profile, read_profiles_file
from podbook_core.store.s3_settings import S3Section

__all__ = ["Settings", "read_profiles"]


class Settings(BaseSettings):
    """Everything an administrator may choose about the operator. Times in seconds."""

    model_config = SettingsConfigDict(
        env_prefix=PREFIX,
        env_nested_delimiter="__",
        # So that an endpoint may be set without naming the bucket again.
        nested_model_default_partial_update=True,
        frozen=True,
        extra="ignore",
    )

    namespace: Annotated[str, Field(description="Namespace whose executions it runs; Jobs and pods are created there.")] = "default"
    s3: Annotated[S3Section, Field(description="The bucket.")] = S3Section(bucket="podbook")
    profiles_file: Annotated[Path | None, Field(description="YAML or JSON file of profiles by name.")] = None
    runner_image: Annotated[str | None, Field(description="Image of profiles that do not set one.")] = None
    max_active: Annotated[
        int,
        Field(ge=1, description="Maximum number of executions with a Job at a time, for each profile without its own maxActive."),
    ] = 20
    ttl_succeeded_seconds: Annotated[
        int, Field(ge=0, description="How long the resource of a succeeded execution is kept, unless its spec says otherwise.")
    ] = 86_400
    ttl_failed_seconds: Annotated[
        int, Field(ge=0, description="How long the resource of any other ended execution is kept, unless its spec says otherwise.")
    ] = 86_400
    job_ttl_seconds: Annotated[int, Field(ge=0, description="How long Job and pods are kept after the end, for their logs.")] = 300
    publish_timeout_seconds: Annotated[
        int, Field(ge=1, le=3600, description="Maximum time in which a runner must store results.")
    ] = DEFAULT_PUBLISH_TIMEOUT
    configuration_grace_seconds: Annotated[
        int, Field(ge=0, description="How long to wait for a bad image name or a missing secret to be fixed.")
    ] = 60
    progress_seconds: Annotated[
        int, Field(ge=1, description="Minimum time between two reports of a running execution's progress.")
    ] = 10
    retention_days: Annotated[int, Field(ge=0, description="Results older than this are deleted from the store; 0 keeps all.")] = 0
    resync_seconds: Annotated[int, Field(ge=1, description="How often every execution is reconciled, even without an event.")] = 300
    workers: Annotated[int, Field(ge=1, le=256, description="How many executions are reconciled at a time.")] = 16
    log_level: Annotated[
        str,
        StringConstraints(to_upper=True),
        Field(
            pattern="^(?i:debug|info|warning|error)$", description="Minimum severity that is logged: debug, info, warning or error."
        ),
    ] = "INFO"
    host: Annotated[str, Field(description="Address on which health and metrics are served.")] = "0.0.0.0"  # noqa: S104 - the pod's own
    health_port: Annotated[int, Field(ge=1, le=65535, description="Port of /healthz.")] = 8080
    metrics_port: Annotated[int, Field(ge=1, le=65535, description="Port of /metrics.")] = 9090


def read_profiles(settings: Settings) -> dict[str, Profile]:
    """The profiles, with the default image filled in.

    Raises:
        ProfilesError: the file cannot be read or is not of the documented shape.
    """
    profiles = read_profiles_file(settings.profiles_file, load=_yaml)
    return {
        name: profile if profile.image else profile.model_copy(update={"image": settings.runner_image})
        for name, profile in profiles.items()
    }


def _yaml(data: bytes) -> Any:
    try:
        return yaml.safe_load(data)
    except yaml.YAMLError as error:
        raise ValueError(" ".join(str(error).split())) from error  # YAML points at the place in several lines
