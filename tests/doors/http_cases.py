"""What annotated cells answer below ``/http/<notebook>``: one table for both backends, with the answers of the Jupyter Kernel Gateway 3.0.1."""

import base64
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import httpx
from tests.support.notebook_file import code_cell, markdown_cell, notebook_document

__all__ = ["ANSWERS", "NOTEBOOK", "Recorded", "asked"]

PIXEL = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="
_SOURCES = (
    "import base64, json, math, os",
    (
        "# GET /convert\nreq = json.loads(REQUEST)\nargs = req['args']\n\nif 'angle' not in args:\n"
        "  print(json.dumps({'convertedAngle': None}))\nelse:\n  angle = int(args['angle'][0])\n"
        "  print(json.dumps({'convertedAngle': math.radians(angle)}))"
    ),
    (
        "# POST /echo/:first/in/:second\nreq = json.loads(REQUEST)\n"
        "req['headers'] = {name: req['headers'].get(name) for name in ('Content-Type', 'X-Mine', 'Authorization')}\n"
        "print(json.dumps(req, sort_keys=True))"
    ),
    "# PUT /things\nprint('put')",
    "# GET /things/:id\nprint('one', json.loads(REQUEST)['path']['id'])",
    "# GET /things/all\nprint('all')",
    "# GET /two\nx = 1",
    "# GET /two\nprint('x is', x)",
    "# GET /result\n1 + 1",
    "# GET /nothing\npass",
    "# GET /raises\nprint('before')\nraise ValueError('nope')",
    "# GET /stderr\nimport sys\nprint('out')\nprint('err', file=sys.stderr)",
    "# GET /created\nprint('made')",
    "# ResponseInfo GET /created\nprint(json.dumps({'status': 201, 'headers': {'Location': '/things/1', 'X-Count': 3}}))",
    "# GET /empty\nprint('not sent')",
    "# ResponseInfo GET /empty\nprint(json.dumps({'status': 204}))",
    '# GET /json\nprint(\'{"hello": "world"}\')',
    "# ResponseInfo GET /json\nprint(json.dumps({'headers': {'Content-Type': 'application/json'}}))",
    "#GET /unspaced\nprint('never')",
    f"# GET /image\nfrom IPython.display import Image\nImage(data=base64.b64decode('{PIXEL}'))",
    "# GET /page\nfrom IPython.display import HTML\nHTML('<b>shown</b>')",
    "# GET /displayed\nfrom IPython.display import HTML, display\ndisplay(HTML('<i>displayed</i>'))",
    (
        "# POST /upload\nreq = json.loads(REQUEST)\nfile = req['files']['data'][0]\n"
        "print(file['filename'], file['content_type'], open(file['path']).read(), json.dumps(req['body']))"
    ),
    "# GET /wrong\nprint(1)",
    "# ResponseInfo GET /wrong\nprint('not JSON')",
)
NOTEBOOK = json.dumps(notebook_document([markdown_cell("# An API"), *map(code_cell, _SOURCES)])).encode()


@dataclass(frozen=True, slots=True)
class Recorded:
    """A request, and what is answered to it."""

    method: str
    path: str
    status: int
    body: bytes | Mapping[str, Any]
    """Bytes, or JSON."""
    media_type: str = "text/plain"
    sent: Mapping[str, Any] = field(default_factory=dict)
    """Further arguments of the request."""
    headers: Mapping[str, str] = field(default_factory=dict)
    """Headers of the answer."""
    better: bool = False
    """Whether the original answers otherwise, or not at all."""


def _echo(body: Any, content_type: str | None, **more: Any) -> Mapping[str, Any]:
    headers = {"Content-Type": content_type, "X-Mine": None, "Authorization": None}
    return {"args": {}, "body": body, "headers": headers, "path": {"first": "a", "second": "b"}, **more}


_ECHO = "/echo/a/in/b"
_JSON = "application/json"
_FORM = "application/x-www-form-urlencoded"
_NOT_FOUND = {"reason": "Not Found", "message": ""}
ANSWERS: tuple[Recorded, ...] = (
    Recorded("GET", "/convert?angle=180", 200, b'{"convertedAngle": 3.141592653589793}\n'),
    Recorded("GET", "/convert", 200, b'{"convertedAngle": null}\n'),
    Recorded("POST", _ECHO, 200, _echo({"a": [1]}, _JSON), sent={"content": b'{"a": [1]}', "headers": {"Content-Type": _JSON}}),
    Recorded(
        "POST",
        _ECHO,
        200,
        _echo('{"a": 1}', "application/json; charset=utf-8"),
        sent={"content": b'{"a": 1}', "headers": {"Content-Type": "application/json; charset=utf-8"}},
    ),
    Recorded("POST", _ECHO, 200, _echo('{"a', _JSON), sent={"content": b'{"a', "headers": {"Content-Type": _JSON}}),
    Recorded(
        "POST",
        _ECHO,
        200,
        _echo({"a": ["1", "2"], "b": [""]}, _FORM),
        sent={"content": b"a=1&a=2&b=", "headers": {"Content-Type": _FORM}},
    ),
    Recorded("POST", _ECHO, 200, _echo("text \u00e9", None), sent={"content": "text \u00e9".encode()}),
    Recorded("POST", _ECHO, 200, _echo("", None)),
    Recorded(
        "POST",
        "/echo/a%2Fb/in/%C3%A9?q=1&q=2&e=",
        200,
        _echo("", None, path={"first": "a/b", "second": "\u00e9"}, args={"q": ["1", "2"], "e": [""]}),
    ),
    Recorded(
        "POST",
        _ECHO,
        200,
        {**_echo("", None), "headers": {"Content-Type": None, "X-Mine": ["1", "2"], "Authorization": None}},
        sent={"headers": [("X-Mine", "1"), ("X-Mine", "2")]},
    ),
    Recorded("GET", "/things/7", 200, b"one 7\n"),
    Recorded("GET", "/things/all", 200, b"all\n"),
    Recorded("PUT", "/things", 200, b"put\n"),
    Recorded("GET", "/two", 200, b"x is 1\n"),
    Recorded("GET", "/result", 200, b'{"text/plain": "2"}'),
    Recorded("GET", "/nothing", 200, b""),
    Recorded("GET", "/raises", 500, b"Error ValueError: nope \n"),
    Recorded("GET", "/stderr", 200, b"out\n"),
    Recorded("GET", "/created", 201, b"made\n", headers={"Location": "/things/1", "X-Count": "3"}),
    Recorded("GET", "/empty", 204, b""),
    Recorded("GET", "/json", 200, b'{"hello": "world"}\n', _JSON),
    Recorded("DELETE", "/things", 405, b"", "text/html; charset=UTF-8"),
    Recorded("PATCH", "/things", 405, {"reason": "Method Not Allowed", "message": ""}, _JSON),
    Recorded("GET", "/unspaced", 404, _NOT_FOUND, _JSON),
    Recorded("GET", "/two/", 404, _NOT_FOUND, _JSON),
    Recorded("GET", "//two", 404, _NOT_FOUND, _JSON),
    Recorded("GET", "/elsewhere", 404, _NOT_FOUND, _JSON),
    Recorded("OPTIONS", "/two", 200, b""),
    Recorded("GET", "/image", 200, base64.b64decode(PIXEL), "image/png", better=True),
    Recorded("GET", "/page", 200, b"<b>shown</b>", "text/html", better=True),
    Recorded("GET", "/displayed", 200, b"<i>displayed</i>", "text/html", better=True),
    Recorded(
        "POST",
        "/upload",
        200,
        b'a.txt text/plain content {"field": ["1"]}\n',
        sent={"files": {"data": ("a.txt", b"content", "text/plain")}, "data": {"field": "1"}},
        better=True,
    ),
    Recorded(
        "GET", "/wrong", 500, b"Error ResponseInfo: the cell must print a JSON object with status and headers \n", better=True
    ),
)
"""In the order in which they are asked; none depends on another."""


def asked(client: httpx.Client, base: str, case: Recorded) -> None:
    """Ask, and compare with what was recorded."""
    request = client.build_request(case.method, base + case.path, **case.sent)
    # The client would set the path right: what is asked must arrive as it is written.
    request.url = request.url.copy_with(raw_path=(base + case.path).encode())
    got = client.send(request)
    assert got.status_code == case.status, got.text
    if isinstance(case.body, bytes):
        assert got.content == case.body
    else:
        assert got.json() == case.body
    if case.status != 204 and case.method != "OPTIONS":
        assert got.headers["content-type"] == case.media_type
    for name, value in case.headers.items():
        assert got.headers[name] == value
