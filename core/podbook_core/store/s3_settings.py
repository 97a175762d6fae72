"""Which bucket, and how to reach it: as programs read it from their environment, and as the store takes it. Imports no boto3."""

from dataclasses import dataclass, field
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, SecretStr

__all__ = ["S3Section", "S3Settings"]


@dataclass(frozen=True, slots=True)
class S3Settings:
    """Which bucket, and how to reach it. Built by each program from its own settings; this class reads no environment.

    Without ``access_key`` boto3's own chain finds credentials (environment, web identity, instance).
    """

    bucket: str
    endpoint: str | None = None
    """URL of the service as this program reaches it; None is Amazon's, by region."""
    pod_endpoint: str | None = None
    """URL of the service as pods reach it, for what is signed; ``endpoint`` when None. The host is part of the signature."""
    region: str = "us-east-1"
    access_key: str | None = field(default=None, repr=False)
    secret_key: str | None = field(default=None, repr=False)
    session_token: str | None = field(default=None, repr=False)
    connect_timeout: float = 5.0
    """Seconds to connect, for each try."""
    read_timeout: float = 20.0
    """Seconds without a byte, for each try."""
    max_attempts: int = 3
    """Tries in all, for each request."""
    part_size: int = 64 * 1024 * 1024
    """Files larger than this many bytes are uploaded in parts of this size; at least 5 MiB (S3 API)."""


class S3Section(BaseModel):
    """The part of a program's settings that is about the bucket (``PODBOOK_S3__…``), the same for every program."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    bucket: Annotated[str, Field(min_length=3, max_length=63, description="Bucket that holds everything Podbook stores.")]
    endpoint: Annotated[str | None, Field(description="URL of the service as this program reaches it; Amazon S3 when absent.")] = (
        None
    )
    pod_endpoint: Annotated[
        str | None,
        Field(description="URL of the service as runner pods reach it; the endpoint when absent. Only the operator signs."),
    ] = None
    region: Annotated[str, Field(description="Region, part of every signature.")] = "us-east-1"
    access_key: Annotated[
        SecretStr | None, Field(description="Access key; when absent, the default sources are used (environment, web identity).")
    ] = None
    secret_key: Annotated[SecretStr | None, Field(description="Secret key of the access key.")] = None

    def for_store(self) -> S3Settings:
        """The same, as the store takes it: here the keys are plain."""
        return S3Settings(
            bucket=self.bucket,
            endpoint=self.endpoint,
            pod_endpoint=self.pod_endpoint,
            region=self.region,
            access_key=self.access_key.get_secret_value() if self.access_key else None,
            secret_key=self.secret_key.get_secret_value() if self.secret_key else None,
        )
