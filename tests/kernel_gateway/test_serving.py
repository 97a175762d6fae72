"""What the gateway serves: notebooks that change, several at once, files, images, documents, and its options from everywhere."""

import base64
import datetime as dt
import json
import os
import ssl
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import pytest
from openapi_spec_validator import OpenAPIV31SpecValidator
from tests.support.gateway import Gateway, write_notebook

COMMAND = [sys.executable, "-m", "podbook", "kernelgateway"]
PNG = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="
SHOWING = [
    (
        "import base64, json, os\nfrom IPython.display import HTML, Image, display\n"
        f"png = base64.b64decode('{PNG}')\n"
        "class Table:\n    def _repr_html_(self):\n        return '<table></table>'\n    def __repr__(self):\n        return 'a table'"
    ),
    "# GET /image\nImage(png)",
    "# GET /displayed\ndisplay(Image(png))",
    "# GET /html\nHTML('<p>é</p>')",
    "# GET /table\nTable()",
    (
        "# POST /upload\nfound = json.loads(REQUEST)\nitem = found['files']['photo'][0]\n"
        "print(json.dumps([item['filename'], item['content_type'], open(item['path'], 'rb').read() == png, found['body']]))"
    ),
    "# GET /headers\nprint(1)",
    (
        "# ResponseInfo GET /headers\nheaders = {'Content-Length': '9999', 'Transfer-Encoding': 'chunked', 'Set-Cookie': 'a=1'}\n"
        "print(json.dumps({'headers': {**headers, 'X-Two': 'a\\r\\nX-Evil: 1'}}))"
    ),
    "# GET /noinfo\nprint(1)",
    "# ResponseInfo GET /noinfo\nprint('no JSON')",
    "# GET /x/:a/\n1",
    "# GET /y/:a\n1",
    "# PUT /y/:b\n1",
]


def test_results_keep_their_media_type(tmp_path: Path) -> None:
    static = tmp_path / "public"
    static.mkdir()
    (static / "a b.css").write_text("p {}")
    notebook = write_notebook(tmp_path / "work" / "showing.v1.ipynb", SHOWING)
    options = [
        f"--NotebookHTTPPersonality.static_path={static}",
        "--NotebookHTTPPersonality.allow_notebook_download=True",
        "--KernelGatewayApp.base_url=/api/v1",
    ]
    with Gateway(notebook, *options, environment={"KG_ALLOW_ORIGIN": "https://example.org", "KG_MAX_AGE": "5"}) as gateway:
        for target in ("/image", "/displayed"):
            image = gateway.send(f"/api/v1{target}")
            assert (image.headers["content-type"], image.body[:4]) == ("image/png", b"\x89PNG")
        html = gateway.send("/api/v1/html")
        assert (html.headers["content-type"].partition(";")[0], html.text) == ("text/html", "<p>é</p>")
        # A result that is more than its display is what it was to the original, unless its caller asks for HTML.
        table = gateway.send("/api/v1/table")
        assert (table.headers["content-type"], table.json) == (
            "text/plain",
            {"text/html": "<table></table>", "text/plain": "a table"},
        )
        asked = gateway.send("/api/v1/table", headers={"Accept": "text/html"})
        assert (asked.headers["content-type"].partition(";")[0], asked.text) == ("text/html", "<table></table>")

        content = (
            b'--xx\r\nContent-Disposition: form-data; name="photo"; filename="p.png"\r\nContent-Type: image/png\r\n\r\n'
            + base64.b64decode(PNG)
            + b'\r\n--xx\r\nContent-Disposition: form-data; name="a"\r\n\r\n1\r\n--xx--\r\n'
        )
        headers = {"Content-Type": "multipart/form-data; boundary=xx"}
        uploaded = gateway.send("/api/v1/upload", "POST", headers=headers, content=content)
        assert uploaded.json == ["p.png", "image/png", True, {"a": ["1"]}]

        framed = gateway.send("/api/v1/headers")
        assert (framed.status, framed.text, framed.headers["content-length"], framed.headers["set-cookie"]) == (
            200,
            "1\n",
            "2",
            "a=1",
        )
        assert "x-evil" not in framed.headers
        assert "Content-Length, Transfer-Encoding, X-Two" in gateway.output
        honest = gateway.send("/api/v1/noinfo")
        assert honest.status == 500
        assert honest.text.startswith("Error ResponseInfo: the cell must print a JSON object")

        css = gateway.send("/api/v1/public/a%20b.css")
        assert (css.status, css.headers["content-type"], css.text) == (200, "text/css", "p {}")
        for target in ("/public/../work/showing.v1.ipynb", "/public/%2e%2e/work/showing.v1.ipynb", "/public/", "/public"):
            assert gateway.send(f"/api/v1{target}").status == 404
        assert gateway.send("/api/v1/_api/source").json["nbformat"] == 4
        assert gateway.send("/hello").status == 404

        origin = {
            name: gateway.send("/api/v1/html", method).headers.get(name)
            for method in ("GET", "OPTIONS")
            for name in ("access-control-allow-origin", "access-control-max-age")
        }
        assert origin == {"access-control-allow-origin": "https://example.org", "access-control-max-age": "5"}

        swagger = gateway.send("/api/v1/_api/spec/swagger.json").json
        assert swagger["info"] == {"version": "0.0.0", "title": "showing"}
        document = gateway.send("/api/v1/_api/spec/openapi.json").json
        OpenAPIV31SpecValidator(document).validate()
        assert set(document["paths"]) >= {"/api/v1/image", "/api/v1/x/{a}/", "/api/v1/y/{a}"}


def test_a_notebook_is_read_again_when_it_changes_and_requests_in_flight_end_well(tmp_path: Path) -> None:
    def cells(word: str) -> list[str]:
        return ["import time", f"# GET /word\nprint({word!r})", "# GET /slow\ntime.sleep(4)\nprint('slow')"]

    notebook = write_notebook(tmp_path / "work" / "n.ipynb", cells("one"))
    with Gateway(notebook) as gateway, ThreadPoolExecutor(2) as threads:
        assert gateway.send("/word").text == "one\n"
        slow = threads.submit(gateway.send, "/slow")
        waiting = threads.submit(gateway.send, "/slow")
        time.sleep(0.3)
        write_notebook(notebook, cells("two"))
        gateway.wait_for("was reloaded")
        assert gateway.send("/word").text == "two\n"
        assert (slow.result().text, waiting.result().text) == ("slow\n", "slow\n")
        notebook.write_text("{}")
        gateway.wait_for("has changed and cannot be served")
        assert gateway.send("/word").text == "two\n"
        write_notebook(notebook, cells("three"))
        gateway.wait_for(r"(?s)was reloaded.*was reloaded")
        assert gateway.send("/word").text == "three\n"


def test_a_folder_serves_each_notebook_below_its_name(tmp_path: Path) -> None:
    folder = tmp_path / "work"
    write_notebook(folder / "one.ipynb", ["# GET /who\nprint('one')"])
    write_notebook(folder / "sub" / "two.ipynb", ["# GET /who\nprint('two')"])
    write_notebook(folder / "plain.ipynb", ["print('no endpoint')"])
    write_notebook(folder / "raising.ipynb", ["1 / 0", "# GET /who\nprint('no')"])
    with Gateway(folder) as gateway:
        assert gateway.send("/one/who").text == "one\n"
        assert gateway.send("/sub/two/who").text == "two\n"
        assert gateway.send("/who").status == gateway.send("/plain/who").status == gateway.send("/raising/who").status == 404
        assert gateway.send("/sub/two/_api/spec/swagger.json").json["paths"] == {
            "/who": {"get": {"responses": {"200": {"description": "Success"}}}}
        }
        assert "plain.ipynb" in gateway.output
        assert "a set-up cell raised ZeroDivisionError" in gateway.output


def test_options_come_from_a_configuration_file_as_well(tmp_path: Path) -> None:
    environment = {"JUPYTER_CONFIG_DIR": str(tmp_path / ".jupyter")}
    done = subprocess.run(
        [*COMMAND, "--generate-config"],
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    config = tmp_path / ".jupyter" / "jupyter_kernel_gateway_config.py"
    assert str(config) in done.stdout + done.stderr
    text = config.read_text()
    assert "# c.KernelGatewayApp.ip = '127.0.0.1'" in text.replace('"', "'")
    notebook = write_notebook(tmp_path / "n.ipynb", ["# GET /\nprint('hello')"])
    config.write_text("c.KernelGatewayApp.auth_token = 'abc'\nc.KernelGatewayApp.api = 'notebook-http'\n")
    with Gateway(notebook) as gateway:
        assert (gateway.send("/").status, gateway.send("/?token=abc").text) == (401, "hello\n")


@pytest.mark.parametrize(
    ("options", "variables", "said"),
    [
        ([], {}, "give --KernelGatewayApp.api=kernel_gateway.notebook_http"),
        (["--api=kernel_gateway.jupyter_websocket"], {}, "only notebook-http is served"),
        (["--api=notebook-http"], {}, "--KernelGatewayApp.seed_uri=FILE"),
        (["--api=notebook-http", "--seed_uri=https://example.org/n.ipynb"], {}, "must be a file on this machine"),
        (["--api=notebook-http", "--seed_uri=absent.ipynb"], {}, "absent.ipynb does not exist"),
        (["--api=notebook-http", "--seed_uri=plain.ipynb"], {}, "No endpoints were discovered"),
        (["--api=notebook-http", "--seed_uri=n.ipynb", "--KernelGatewayApp.authorizer_class=x.Y"], {}, "cannot be followed here"),
        (["--api=notebook-http", "--seed_uri=n.ipynb", "--NotebookHTTPPersonality.cell_parser=x"], {}, "cell_parser must be"),
        (
            ["--api=notebook-http", "--seed_uri=n.ipynb", "--KernelGatewayApp.force_kernel_name=nope"],
            {},
            "asks for the kernel 'nope'",
        ),
        (["--api=notebook-http", "--seed_uri=n.ipynb", "--ip=203.0.113.7"], {}, "cannot listen on 203.0.113.7"),
        (["--seed_uri=n.ipynb"], {"KG_API": "notebook-http", "KG_PORT": "many"}, "KG_PORT must be an integer"),
        (
            ["--seed_uri=n.ipynb"],
            {"KG_API": "notebook-http", "KG_PRESPAWN_COUNT": "3", "KG_MAX_KERNELS": "2"},
            "more than max kernels 2",
        ),
    ],
)
def test_what_cannot_be_done_is_said_in_one_line(tmp_path: Path, options: list[str], variables: dict[str, str], said: str) -> None:
    write_notebook(tmp_path / "n.ipynb", ["# GET /\n1"])
    write_notebook(tmp_path / "plain.ipynb", ["1"])
    environment = {**os.environ, "JUPYTER_CONFIG_DIR": str(tmp_path), **variables}
    done = subprocess.run(
        [*COMMAND, *options], cwd=tmp_path, env=environment, capture_output=True, text=True, check=False, timeout=60
    )
    assert (done.returncode, "Traceback" in done.stderr) == (1, False), done.stderr
    assert said in done.stderr.splitlines()[-1]


def test_every_address_without_a_token_is_warned_of_once(tmp_path: Path) -> None:
    notebook = write_notebook(tmp_path / "work" / "n.ipynb", ["# GET /\nprint('hello')"])
    with Gateway(notebook, "--KernelGatewayApp.ip=*") as gateway:
        assert gateway.send("/").text == "hello\n"
        assert gateway.output.count("set KG_AUTH_TOKEN") == 1
    with Gateway(notebook, "--KernelGatewayApp.ip=*", "--KernelGatewayApp.auth_token=x") as gateway:
        assert "set KG_AUTH_TOKEN" not in gateway.output


def test_swagger_documents_in_a_notebook_say_what_there_is(tmp_path: Path) -> None:
    document = {
        "swagger": "2.0",
        "info": {"title": "People", "version": "1"},
        "paths": {
            "/people": {"get": {"operationId": "list", "parameters": [{"name": "name", "in": "query"}]}},
            "/people/{id}": {"get": {"operationId": "one", "parameters": [{"name": "id", "in": "path"}]}},
            "/old": {"post": {"operationId": "old", "parameters": [{"name": "a"}, {"name": "b"}]}},
        },
    }
    markdown = {"cell_type": "markdown", "metadata": {}, "source": f"# People\n```\n{json.dumps(document)}\n```\n"}
    path = write_notebook(
        tmp_path / "work" / "n.ipynb",
        [
            "import json",
            "# operationId: list\nprint('list', json.loads(REQUEST)['args'], json.loads(REQUEST)['path'])",
            "# operationId: one\nprint('one', json.loads(REQUEST)['path'])",
            "# operationId: old\nprint('old', json.loads(REQUEST)['path'])",
            "# ResponseInfo operationId: old\nprint(json.dumps({'status': 201}))",
        ],
    )
    notebook = json.loads(path.read_text())
    notebook["cells"].insert(0, {"id": "m", **markdown})
    path.write_text(json.dumps(notebook))
    with Gateway(path, "--NotebookHTTPPersonality.cell_parser=kernel_gateway.notebook_http.swagger.parser") as gateway:
        assert gateway.send("/people?name=x").text == "list {'name': ['x']} {}\n"
        assert gateway.send("/people/7").text in ("one {'id': '7'}\n", "list {} {'name': '7'}\n")
        old = gateway.send("/old/1/2", "POST", content=b"")
        assert (old.status, old.text) == (201, "old {'a': '1', 'b': '2'}\n")
        assert gateway.send("/_api/spec/swagger.json").json == document


def test_it_speaks_tls(tmp_path: Path) -> None:
    pytest.importorskip("cryptography")
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.oid.NameOID.COMMON_NAME, "localhost")])
    now = dt.datetime.now(dt.UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now)
        .not_valid_after(now + dt.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("localhost")]), critical=False)
        .sign(key, hashes.SHA256())
    )
    (tmp_path / "cert.pem").write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    (tmp_path / "key.pem").write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
    notebook = write_notebook(tmp_path / "work" / "n.ipynb", ["# GET /\nprint('hello')"])
    options = [f"--KernelGatewayApp.certfile={tmp_path / 'cert.pem'}", f"--KernelGatewayApp.keyfile={tmp_path / 'key.pem'}"]
    with Gateway(notebook, *options) as gateway:
        context = ssl.create_default_context(cafile=str(tmp_path / "cert.pem"))
        assert httpx.get(f"https://localhost:{gateway.port}/", verify=context).text == "hello\n"
