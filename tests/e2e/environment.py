"""What ``tests/cluster/run`` provides, read from the environment."""

import os
from dataclasses import dataclass
from pathlib import Path

import pytest

__all__ = ["Environment"]


@dataclass(frozen=True)
class Environment:
    """The cluster under test and what stands beside it."""

    cluster: str
    """native, kind or existing."""
    image_registry: str
    image_tag: str
    s3_endpoint: str | None
    """A MinIO on this machine, as pods reach it too; None where the chart's own is used."""
    s3_access_key: str
    s3_secret_key: str
    minio: Path | None
    """Command that takes ``start`` and ``kill``."""
    state: Path | None
    """Folder with process ids and logs of a native cluster."""

    @classmethod
    def read(cls) -> "Environment":
        """From the variables; skips the test where there is no cluster."""
        cluster = os.environ.get("PODBOOK_TEST_CLUSTER")
        if cluster is None:
            pytest.skip("there is no cluster: run `make e2e`")
        state, minio = os.environ.get("CLUSTER_STATE"), os.environ.get("PODBOOK_TEST_MINIO")
        return cls(
            cluster=cluster,
            image_registry=os.environ["PODBOOK_TEST_IMAGE_REGISTRY"],
            image_tag=os.environ["PODBOOK_TEST_IMAGE_TAG"],
            s3_endpoint=os.environ.get("PODBOOK_TEST_S3_ENDPOINT"),
            s3_access_key=os.environ.get("PODBOOK_TEST_S3_ACCESS_KEY", ""),
            s3_secret_key=os.environ.get("PODBOOK_TEST_S3_SECRET_KEY", ""),
            minio=Path(minio) if minio else None,
            state=Path(state) if state and cluster == "native" else None,
        )

    @property
    def native(self) -> bool:
        """Whether the cluster's processes run on this machine, so that a test can kill them."""
        return self.state is not None
