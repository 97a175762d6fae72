"""The operator's settings: from the environment, read once, never changed. Every one can be set from the chart's values."""

from pathlib import Path
from typing import Annotated

import yaml
from pydantic import BaseModel, ConfigDict, Field, SecretStr, ValidationError
from pydantic_settings import BaseSettings, SettingsConfigDict

from podbook_core.profiles import Profile, parse_profiles
from podbook_core.store.s3 import S3Settings

__all__ = ["ProfilesError", "S3Section", "Settings", "read_profiles"]


class ProfilesError(Exception):
    """The file of profiles cannot be used; says which file and why."""


class S3Section(BaseModel):
    """The bucket (``PODBOOK_S3__…``)."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    bucket: Annotated[str, Field(description="Name of the bucket.")] = "podbook"
    endpoint: Annotated[str | None, Field(description="URL of the service as the operator reaches it; absent for Amazon S3.")] = (
        None
    )
    pod_endpoint: Annotated[
        str | None, Field(description="URL of the service as runner pods reach it; the endpoint when absent.")
    ] = None
    region: Annotated[str, Field(description="Region, part of every signature.")] = "us-east-1"
    access_key: Annotated[
        SecretStr | None, Field(description="Access key; when absent, the usual places are searched (environment, web identity).")
    ] = None
    secret_key: Annotated[SecretStr | None, Field(description="Secret key of the access key.")] = None

    def for_store(self) -> S3Settings:
        """The same, as the store wants it."""
        return S3Settings(
            bucket=self.bucket,
            endpoint=self.endpoint,
            pod_endpoint=self.pod_endpoint,
            region=self.region,
            access_key=self.access_key.get_secret_value() if self.access_key else None,
            secret_key=self.secret_key.get_secret_value() if self.secret_key else None,
        )


class Settings(BaseSettings):
    """Everything an administrator may choose about the operator. Times in seconds."""

    model_config = SettingsConfigDict(env_prefix="PODBOOK_", env_nested_delimiter="__", frozen=True, extra="ignore")

    namespace: Annotated[str, Field(description="Namespace whose executions it runs; Jobs and pods are created there.")] = "default"
    s3: Annotated[S3Section, Field(description="The bucket.")] = S3Section()
    profiles_file: Annotated[Path | None, Field(description="YAML or JSON file of profiles by name.")] = None
    runner_image: Annotated[str | None, Field(description="Image of profiles that name none.")] = None
    max_active: Annotated[int, Field(ge=1, description="How many executions may have a Job at a time.")] = 20
    ttl_succeeded_seconds: Annotated[
        int, Field(ge=0, description="How long the resource of a success stays, unless its spec says otherwise.")
    ] = 86_400
    ttl_failed_seconds: Annotated[
        int, Field(ge=0, description="How long the resource of any other end stays, unless its spec says otherwise.")
    ] = 86_400
    job_ttl_seconds: Annotated[int, Field(ge=0, description="How long Job and pods stay after the end, for their logs.")] = 300
    publish_timeout_seconds: Annotated[
        int, Field(ge=1, le=3600, description="Longest time a runner may take to store results.")
    ] = 300
    configuration_grace_seconds: Annotated[
        int, Field(ge=0, description="How long a bad image name or a missing secret is given to heal.")
    ] = 60
    progress_seconds: Annotated[
        int, Field(ge=1, description="Least time between two reports of a running execution's progress.")
    ] = 10
    retention_days: Annotated[int, Field(ge=0, description="Results older than this are removed from the store; 0 keeps all.")] = 0
    resync_seconds: Annotated[int, Field(ge=1, description="How often every execution is looked at, whatever was heard of it.")] = (
        300
    )
    workers: Annotated[int, Field(ge=1, le=256, description="How many executions are worked on at a time.")] = 16
    log_level: Annotated[str, Field(pattern="^(DEBUG|INFO|WARNING|ERROR)$", description="Least severe level that is logged.")] = (
        "INFO"
    )
    host: Annotated[str, Field(description="Address that health and metrics are served on.")] = "0.0.0.0"  # noqa: S104 - the pod's own
    health_port: Annotated[int, Field(ge=1, le=65535, description="Port of /healthz.")] = 8080
    metrics_port: Annotated[int, Field(ge=1, le=65535, description="Port of /metrics.")] = 9090


def read_profiles(settings: Settings) -> dict[str, Profile]:
    """The profiles, with the default image filled in.

    Raises:
        ProfilesError: the file cannot be read or is not of the documented shape.
    """
    raw = None
    if settings.profiles_file is not None:
        try:
            raw = yaml.safe_load(settings.profiles_file.read_text(encoding="utf-8"))
        except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
            raise ProfilesError(f"cannot read the profiles in {settings.profiles_file}: {error}") from error
    try:
        profiles = parse_profiles(raw)
    except ValidationError as error:
        raise ProfilesError(f"the profiles in {settings.profiles_file} are not usable: {error}") from error
    return {
        name: profile if profile.image else profile.model_copy(update={"image": settings.runner_image})
        for name, profile in profiles.items()
    }
