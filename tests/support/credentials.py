"""Temporary credentials as a cluster gives them to its pods: handed out by HTTP, with an end, and renewed by whoever asks again."""

import http.server
import json
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path

import pytest
from boto3.session import Session

__all__ = ["ROLE", "Vendor", "forget_others", "issue", "selling"]

ROLE = "arn:aws:iam::123456789012:role/podbook"
_ELSEWHERE = (
    *("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN", "AWS_PROFILE", "AWS_CREDENTIAL_EXPIRATION"),
    *("AWS_WEB_IDENTITY_TOKEN_FILE", "AWS_ROLE_ARN", "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI", "AWS_CONTAINER_AUTHORIZATION_TOKEN"),
)
"""Variables that say where credentials are, and are asked before ``AWS_CONTAINER_CREDENTIALS_FULL_URI``."""


@dataclass
class Vendor:
    """Hands out credentials. ``url`` is for ``AWS_CONTAINER_CREDENTIALS_FULL_URI``."""

    url: str
    answer: Mapping[str, str] = field(default_factory=dict)
    asked: int = 0

    def sells(self, end: datetime, key: str = "key", *others: str) -> datetime:
        """From now on it hands out these: key id, secret key, session token. Returns when they end."""
        secret, token = others or ("the secret key", "the token")
        self.answer = {"AccessKeyId": key, "SecretAccessKey": secret, "Token": token, "Expiration": end.isoformat()}
        return end


def forget_others(monkeypatch: pytest.MonkeyPatch, folder: Path) -> None:
    """From here on no credentials are found but those of the test; ``folder`` is its own."""
    for name in _ELSEWHERE:
        monkeypatch.delenv(name, raising=False)
    for name in ("AWS_SHARED_CREDENTIALS_FILE", "AWS_CONFIG_FILE"):
        monkeypatch.setenv(name, str(folder / "no-such-file"))
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")


def issue(vendor: Vendor, endpoint: str, access_key: str, secret_key: str, *, seconds: int) -> str:
    """Let a service issue credentials (AssumeRole) and the vendor hand them out. Returns the key's id."""
    session = Session(aws_access_key_id=access_key, aws_secret_access_key=secret_key)
    issuer = session.client("sts", endpoint_url=endpoint, region_name="us-east-1")
    made = issuer.assume_role(RoleArn=ROLE, RoleSessionName="podbook", DurationSeconds=seconds)["Credentials"]
    vendor.sells(made["Expiration"], made["AccessKeyId"], made["SecretAccessKey"], made["SessionToken"])
    return str(made["AccessKeyId"])


@contextmanager
def selling() -> Iterator[Vendor]:
    """A vendor on this machine."""

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            made.asked += 1
            body = json.dumps(made.answer).encode()
            self.send_response(200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:  # type: ignore[explicit-override] # typing.override is of Python 3.12
            """Say nothing."""

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        made = Vendor(f"http://127.0.0.1:{server.server_address[1]}/")
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
        thread.start()
        try:
            yield made
        finally:
            server.shutdown()
            thread.join()
