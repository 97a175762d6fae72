"""Names, sizes and addresses that no honest client sends: each gets a problem document, and nothing else happens."""

import base64
import hashlib
import re
import socket
from urllib.parse import quote, urlsplit

import httpx
import pytest
from tests.support.server import Server

from podbook_api.doors.answers.artifacts import SANDBOX
from podbook_api.middleware.errors_and_audit import SECURITY_HEADERS

NAMES = ["..", "%2e%2e", "..%2f..%2fetc%2fpasswd", "a%2fb", "a%00b", "x" * 300, "名前", "a b", "-a", ".a", "a\\b", "a%0ab", "%"]


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize(
    ("method", "template"),
    [
        ("GET", "/v1/notebooks/{}"),
        ("PUT", "/v1/notebooks/{}"),
        ("GET", "/v1/notebooks/{}/versions"),
        ("POST", "/v1/run/{}"),
        ("POST", "/v1/notebooks/{}/executions"),
        ("GET", "/v1/executions/{}"),
        ("GET", "/v1/executions/{}/html"),
        ("DELETE", "/v1/executions/{}"),
    ],
)
def test_bad_names_reach_nothing(server: Server, method: str, template: str, name: str) -> None:
    status, head, body = raw(server, f"{method} {template.format(quote(name, safe='%'))} HTTP/1.1")
    assert 400 <= status < 500
    if status != 400:  # the server itself refuses what is not HTTP
        assert "application/problem+json" in head
        assert b'"code"' in body


def raw(server: Server, request_line: str) -> tuple[int, str, bytes]:
    """Send a request as it is; clients would tidy the address first."""
    parts = urlsplit(server.url)
    with socket.create_connection((parts.hostname or "", parts.port or 0), timeout=30) as connection:
        connection.sendall(f"{request_line}\r\nHost: {parts.netloc}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n".encode())
        data = b""
        while chunk := connection.recv(65536):
            data += chunk
    head, _, body = data.partition(b"\r\n\r\n")
    return int(head.split()[1]), head.decode("latin-1"), body


def test_a_json_body_over_the_limit_is_refused_before_it_is_read(server: Server) -> None:
    parts = urlsplit(server.url)
    with socket.create_connection((parts.hostname or "", parts.port or 0), timeout=30) as connection:
        head = f"POST /v1/run/double HTTP/1.1\r\nHost: {parts.netloc}\r\nContent-Type: application/json\r\nContent-Length: 2000000\r\n\r\n"
        connection.sendall(head.encode() + b'{"x": 1')  # the rest never comes
        assert b" 413 " in connection.recv(65536).split(b"\r\n")[0]


def test_a_body_that_does_not_say_its_length_is_cut_off(client: httpx.Client) -> None:
    def endless() -> object:
        for _ in range(200):
            yield b" " * 65536

    response = client.post("/v1/run/double", content=endless(), headers={"Content-Type": "application/json"})  # type: ignore[arg-type]
    assert (response.status_code, response.json()["code"]) == (413, "BodyTooLarge")


@pytest.mark.parametrize("levels", [101, 950, 10_000, 100_000])
def test_json_of_absurd_depth_is_refused_at_every_door(client: httpx.Client, levels: int) -> None:
    deep = b'{"note": ' + b"[" * levels + b"]" * levels + b"}"
    headers = {"Content-Type": "application/json"}
    ran = client.post("/v1/run/quiet", json={}, headers={"Idempotency-Key": "some execution"}).headers["Podbook-Execution"]
    answers = [
        client.post(path, content=deep, headers=headers)
        for path in ("/v1/run/double", "/v1/notebooks/double/executions", f"/v1/executions/{ran}/links")
    ]
    answers += [
        client.post(path, files={part: (None, deep)})
        for path in ("/v1/run/double", "/v1/notebooks/double/executions")
        for part in ("parameters", "options")
    ]
    assert {(answer.status_code, answer.json()["code"]) for answer in answers} == {(400, "InvalidJson")}
    assert all("nested too deeply; at most 100 levels are allowed" in answer.json()["detail"] for answer in answers)


def test_uploads_have_a_limit_too(client: httpx.Client) -> None:
    response = client.post("/v1/run/mirror", files={"a": ("a", b"x" * 5 * 1024 * 1024)})
    assert (response.status_code, response.json()["code"]) == (413, "BodyTooLarge")


def test_parameters_have_a_limit_of_their_own(client: httpx.Client) -> None:
    response = client.post("/v1/run/quiet", json={"level": "x" * 300_000})
    assert (response.status_code, response.json()["code"]) == (413, "ParametersTooLarge")


def test_too_many_files_are_refused(client: httpx.Client) -> None:
    response = client.post("/v1/run/mirror", files=[(f"f{number}", ("a", b"x")) for number in range(40)])
    assert (response.status_code, response.json()["code"]) == (422, "InvalidInputs")
    assert "at most 32 are allowed" in response.json()["detail"]


@pytest.mark.parametrize("form", ["multipart", "urlencoded"])
def test_too_many_fields_are_refused(client: httpx.Client, form: str) -> None:
    fields = {f"f{number}": "x" for number in range(201)}
    sent = {"files": {name: (None, value) for name, value in fields.items()}} if form == "multipart" else {"data": fields}
    response = client.post("/v1/run/mirror", **sent)
    assert (response.status_code, response.json()["code"]) == (422, "InvalidRequest")
    assert "at most 200 are allowed" in response.json()["detail"]


def test_a_broken_form_is_refused(client: httpx.Client) -> None:
    headers = {"Content-Type": "multipart/form-data"}
    response = client.post("/v1/run/mirror", content=b"--x\r\n", headers=headers)
    assert response.status_code == 400
    assert response.headers["content-type"] == "application/problem+json"


@pytest.mark.parametrize(
    ("method", "path", "status"), [("GET", "/nothing", 404), ("PATCH", "/v1/executions", 405), ("GET", "/v1/notebooks/", 404)]
)
def test_addresses_and_methods_that_do_not_exist(client: httpx.Client, method: str, path: str, status: int) -> None:
    response = client.request(method, path)
    assert response.status_code == status
    assert response.headers["content-type"] == "application/problem+json"
    assert response.json()["status"] == status


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/"),
        ("GET", "/healthz"),
        ("GET", "/readyz"),
        ("GET", "/metrics"),
        ("GET", "/docs"),
        ("GET", "/redoc"),
        ("GET", "/docs-assets/favicon.png"),
        ("GET", "/docs-assets/nothing"),
        ("GET", "/openapi.json"),
        ("GET", "/v1/notebooks"),
        ("HEAD", "/v1/notebooks/double"),
        ("GET", "/nothing"),
        ("PATCH", "/v1/executions"),
        ("OPTIONS", "/v1/executions"),
        ("POST", "/v1/run/double"),
        ("POST", "/v1/run/quiet"),
        ("GET", "/v1/executions/none/events"),
    ],
)
@pytest.mark.parametrize("headers", [{}, {"Host": "evil.example"}, {"Origin": "http://evil.example"}])
def test_every_response_is_hardened(client: httpx.Client, method: str, path: str, headers: dict[str, str]) -> None:
    answered = client.request(method, path, headers=headers)
    if "Host" in headers:
        assert (answered.status_code, method == "HEAD" or answered.json()["code"]) == (
            421,
            method == "HEAD" or "MisdirectedRequest",
        )
    assert set(SECURITY_HEADERS) <= {name.title() for name in answered.headers} | {"Content-Security-Policy"}
    assert all(answered.headers[name] == value for name, value in SECURITY_HEADERS.items() if name != "Content-Security-Policy")
    policy = answered.headers["Content-Security-Policy"]
    own = SECURITY_HEADERS["Content-Security-Policy"]
    assert policy == own or path in ("/docs", "/redoc") or (path == "/v1/run/quiet" and policy == SANDBOX)
    assert "access-control-allow-origin" not in answered.headers


@pytest.mark.parametrize("path", ["/docs", "/redoc"])
def test_pages_of_the_servers_own_origin_run_no_script_of_strangers(client: httpx.Client, path: str) -> None:
    page = client.get(path)
    policy = {
        name: values.split()
        for name, _, values in (part.strip().partition(" ") for part in page.headers["content-security-policy"].split(";"))
    }
    assert policy["default-src"] == ["'none'"]
    assert policy["script-src"][0] == "'self'"
    inline: list[str] = re.findall(r"<script>(.*?)</script>", page.text, re.DOTALL)
    hashes = [f"'sha256-{base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()}'" for script in inline]
    assert policy["script-src"][1:] == hashes
    assert len(re.findall(r"<script", page.text)) == 1 + len(inline)
    assert not re.search(r"\son[a-z]+=|javascript:", page.text)


def test_redoc_takes_contracts_for_untrusted(client: httpx.Client) -> None:
    assert '<redoc untrusted-spec="true" spec-url="/openapi.json"' in client.get("/redoc").text


def test_an_idempotency_key_must_be_usable(client: httpx.Client) -> None:
    response = client.post("/v1/run/quiet", headers={"Idempotency-Key": "x" * 201})
    assert (response.status_code, response.json()["code"]) == (422, "InvalidRequest")
