"""A client of an S3-compatible service, set up the way every such service understands."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from boto3.session import Session
from botocore.config import Config

from podbook_core.store.s3_settings import S3Settings

if TYPE_CHECKING:
    from botocore.model import OperationModel
    from mypy_boto3_s3 import S3Client

__all__ = ["make_client"]


def make_client(session: Session, settings: S3Settings, endpoint: str | None) -> "S3Client":
    """A client for an endpoint; None is Amazon's own. Raises ``ValueError`` where the endpoint is not a URL."""
    client = session.client(
        "s3",
        endpoint_url=endpoint,
        config=Config(
            signature_version="s3v4",
            s3={"addressing_style": "path" if endpoint else "auto"},
            connect_timeout=settings.connect_timeout,
            read_timeout=settings.read_timeout,
            retries={"mode": "standard", "total_max_attempts": settings.max_attempts},
            max_pool_connections=64,
            # Checksums beyond Content-MD5 are younger than many S3-compatible services.
            request_checksum_calculation="when_required",
            response_checksum_validation="when_required",
        ),
    )
    # botocore asks before each body whether it may send it: a round trip that only pays for bodies of many megabytes, which go in parts.
    client.meta.events.register_last("before-call.s3", _without_asking)
    return client


def _without_asking(model: "OperationModel", params: Mapping[str, Any], **_: Any) -> None:
    if model.name == "PutObject":
        params["headers"].pop("Expect", None)
