"""Signed links: they open one artifact, for a short time, without a key."""

import stat
from datetime import UTC, datetime, timedelta
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import httpx
import pytest
from tests.support.server import Server

from podbook_api.auth.links import ExpiredLinkError, InvalidLinkError, InvalidSecretError, LinkSigner

NOW = datetime(2026, 5, 1, tzinfo=UTC)
LATER = int(NOW.timestamp()) + 60


def test_a_link_opens_what_it_was_made_for_until_it_expires() -> None:
    signer = LinkSigner(b"s" * 32)
    signature = signer.sign("double-1", "uid-1", "html", LATER)
    signer.check("double-1", "uid-1", "html", expires=LATER, signature=signature, now=NOW)
    with pytest.raises(ExpiredLinkError):
        signer.check("double-1", "uid-1", "html", expires=LATER, signature=signature, now=NOW + timedelta(seconds=60))


@pytest.mark.parametrize(
    ("execution", "uid", "artifact", "expires", "secret"),
    [
        ("double-2", "uid-1", "html", LATER, b"s" * 32),
        ("double-1", "uid-2", "html", LATER, b"s" * 32),
        ("double-1", "", "html", LATER, b"s" * 32),
        ("double-1", "uid-1", "notebook", LATER, b"s" * 32),
        ("double-1", "uid-1", "html", LATER + 1, b"s" * 32),
        ("double-1", "uid-1", "html", LATER, b"t" * 32),
    ],
)
def test_a_link_opens_nothing_else(*, execution: str, uid: str, artifact: str, expires: int, secret: bytes) -> None:
    signature = LinkSigner(b"s" * 32).sign("double-1", "uid-1", "html", LATER)
    with pytest.raises(InvalidLinkError):
        LinkSigner(secret).check(execution, uid, artifact, expires=expires, signature=signature, now=NOW)


def test_the_secret_is_made_once_and_private(tmp_path: Path) -> None:
    path = tmp_path / "secret"
    first = LinkSigner.from_file(path, create=True)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert LinkSigner.from_file(path, create=True) == first
    assert "secret" not in repr(first)


def test_a_weak_or_missing_secret_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InvalidSecretError, match="cannot be used"):
        LinkSigner.from_file(tmp_path / "none")
    (tmp_path / "weak").write_text("12345\n")
    with pytest.raises(InvalidSecretError, match="is 5 bytes"):
        LinkSigner.from_file(tmp_path / "weak")


def test_links_work_without_a_key(guarded: Server, plain_keys: dict[str, str]) -> None:
    with guarded.client(plain_keys["runner"]) as owner, guarded.client() as nobody:
        ran = owner.post("/v1/run/double", json={"x": 2})
        execution = ran.headers["Podbook-Execution"]
        assert nobody.get(f"/v1/executions/{execution}/html").status_code == 401
        made = owner.post(f"/v1/executions/{execution}/links", json={"artifact": "html", "expiresInSeconds": 60})
        assert made.status_code == 201
        url = made.json()["url"]
        assert nobody.get(url).status_code == 200
        assert nobody.get(url.replace("/html?", "/notebook?")).json()["code"] == "InvalidLink"
        query = parse_qs(urlsplit(url).query)
        assert nobody.get(url.replace("uid=", "uid=0")).json()["code"] == "InvalidLink"
        longer = url.replace(f"expires={query['expires'][0]}", f"expires={int(query['expires'][0]) + 900}")
        assert (nobody.get(longer).status_code, nobody.get(longer).json()["code"]) == (403, "InvalidLink")
        events = owner.post(f"/v1/executions/{execution}/links", json={"artifact": "events"}).json()["url"]
        assert "event: end" in nobody.get(events).text
        assert (
            owner.post(f"/v1/executions/{execution}/links", json={"artifact": "html", "expiresInSeconds": 901}).status_code == 422
        )
        assert owner.post(f"/v1/executions/{execution}/links", json={"artifact": "cancel"}).status_code == 422
        with guarded.client(plain_keys["reader"]) as other:
            assert other.post(f"/v1/executions/{execution}/links", json={"artifact": "html"}).status_code == 404


def test_an_expired_link_says_so(client: httpx.Client, server: Server) -> None:
    secret = LinkSigner.from_file(server.secret_file)
    past = int(datetime.now(UTC).timestamp()) - 1
    signature = secret.sign("double-1", "uid-1", "html", past)
    response = client.get("/v1/executions/double-1/html", params={"expires": past, "uid": "uid-1", "signature": signature})
    assert (response.status_code, response.json()["code"]) == (403, "ExpiredLink")


def test_a_link_does_not_open_a_later_execution_of_the_same_name(guarded: Server, plain_keys: dict[str, str]) -> None:
    with guarded.client(plain_keys["runner"]) as owner, guarded.client() as nobody:

        def run() -> str:
            ran = owner.post("/v1/run/double", json={"x": 2}, headers={"Idempotency-Key": "linked and run again"})
            return ran.headers["Podbook-Execution"]

        name = run()
        url = owner.post(f"/v1/executions/{name}/links", json={"artifact": "html"}).json()["url"]
        assert nobody.get(url).status_code == 200
        assert owner.delete(f"/v1/executions/{name}").status_code == 204
        assert nobody.get(url).status_code == 404
        assert run() == name
        refused = nobody.get(url)
    assert (refused.status_code, refused.json()["code"]) == (403, "InvalidLink")
