"""Requests to the gateway and exact answers, recorded from the Jupyter Kernel Gateway 3.0.1.

``test_table.py`` holds ``podbook kernelgateway`` to them; ``tests/originals/test_kernel_gateway.py`` the original itself, where it is there.
"""

import json
from dataclasses import dataclass, field
from typing import Any

TOKEN = "t0ken"
JSON, TEXT, HTML = "application/json", "text/plain", "text/html; charset=UTF-8"

CELLS = [
    "import json, os, time\nfrom IPython.display import display, HTML\ncount = 0",
    "# GET /hello\nprint('hello world')",
    "# GET /hello/person\nprint('constant')",
    "# GET /hello/:person\nprint('hello ' + json.loads(REQUEST)['path']['person'])",
    "# GET /echo\nprint(json.dumps({name: json.loads(REQUEST)[name] for name in ('body', 'args', 'path')}))",
    "# POST /echo\nprint(json.dumps({name: json.loads(REQUEST)[name] for name in ('body', 'args', 'path')}))",
    "# PUT /echo\nprint(json.dumps({name: json.loads(REQUEST)[name] for name in ('body', 'args', 'path')}))",
    "# DELETE /echo\nprint(json.dumps({name: json.loads(REQUEST)[name] for name in ('body', 'args', 'path')}))",
    "# GET /header/:name\nrequest = json.loads(REQUEST)\nprint(json.dumps(request['headers'].get(request['path']['name'])))",
    "# GET /result\n1 + 1",
    "# GET /nothing\npass",
    "# GET /shown\ndisplay('shown')",
    "# GET /parts\nprint('one', end='')\nprint('two', end='')",
    "# GET /error\nprint('partly')\nraise ValueError('nope')",
    "# GET /stderr\nimport sys\nprint('out')\nprint('err', file=sys.stderr)",
    "# GET /multi\nx = 1",
    "# GET /multi\nprint(x)",
    "# GET /json\nprint('{}')",
    '# ResponseInfo GET /json\nprint(json.dumps({"headers": {"Content-Type": "application/json", "X-More": "yes"}, "status": 201}))',
    "# GET /nocontent\npass",
    '# ResponseInfo GET /nocontent\nprint(json.dumps({"status": 204}))',
    "# GET /etag\nprint(1)",
    '# ResponseInfo GET /etag\nprint(json.dumps({"headers": {"Etag": "1234"}}))',
    "# GET /infoerror\nprint(1)",
    "# ResponseInfo GET /infoerror\nraise KeyError('k')",
    "# GET /count\ncount += 1\nprint(count)",
    "# GET /environment\nprint(os.environ.get('KERNEL_GATEWAY'), os.environ.get('KG_AUTH_TOKEN'))",
    "# GET /:a/:b/last\nprint('three', json.loads(REQUEST)['path'])",
    "# GET /files/v:version\nprint('version', json.loads(REQUEST)['path'])",
    "#GET /nospace\nprint('no')",
    "# get /small\nprint('no')",
    "\n# GET /late\nprint('no')",
]
"""The code cells of the notebook."""


@dataclass(frozen=True, slots=True)
class Case:
    """One request and its answer."""

    what: str
    target: str
    """Path and query as they are sent."""
    status: int
    body: str
    method: str = "GET"
    media_type: str | None = TEXT
    sent: dict[str, str] = field(default_factory=dict)
    content: bytes | None = None
    headers: dict[str, str] = field(default_factory=dict)
    """Headers the answer has besides."""
    token: bool = True
    """Whether the request carries the token."""
    differs: str | None = None
    """What the original answers instead, and why Podbook does not; None where both answer the same."""


def error(reason: str, message: str = "") -> str:
    """An error's body."""
    return json.dumps({"reason": reason, "message": message})


def echo(body: Any, args: dict[str, list[str]] | None = None) -> str:
    """What /echo prints."""
    return json.dumps({"body": body, "args": args or {}, "path": {}}) + "\n"


FORM = {"Content-Type": "application/x-www-form-urlencoded"}
MULTIPART = {"Content-Type": "multipart/form-data; boundary=xx"}
CASES = [
    Case("a constant path", "/hello", 200, "hello world\n"),
    Case("a constant path comes before a parameter", "/hello/person", 200, "constant\n"),
    Case("a parameter", "/hello/ann", 200, "hello ann\n"),
    Case("a parameter is decoded", "/hello/a%20%C3%A9", 200, "hello a é\n"),
    Case("an encoded slash does not separate", "/hello/a%2Fb", 200, "hello a/b\n"),
    Case("a plus is a plus", "/hello/a+b", 200, "hello a+b\n"),
    Case("several parameters", "/x/y/last", 200, "three {'a': 'x', 'b': 'y'}\n"),
    Case("a parameter with text before it", "/files/v12", 200, "version {'version': '12'}\n"),
    Case(
        "a parameter that is not UTF-8",
        "/hello/%ff",
        400,
        error("Bad Request", "the value of person in the path is not UTF-8"),
        media_type=JSON,
        differs="another sentence",
    ),
    Case("an unknown path", "/nope", 404, error("Not Found"), media_type=JSON),
    Case("an unknown path needs no token", "/nope", 404, error("Not Found"), media_type=JSON, token=False),
    Case("a slash too many at the end", "/hello/", 404, error("Not Found"), media_type=JSON),
    Case("a slash too many at the beginning", "//hello", 404, error("Not Found"), media_type=JSON),
    Case("no annotation: no space", "/nospace", 404, error("Not Found"), media_type=JSON),
    Case("no annotation: small letters", "/small", 404, error("Not Found"), media_type=JSON),
    Case("no annotation: not the first line", "/late", 404, error("Not Found"), media_type=JSON),
    Case("no token", "/hello", 401, error("Unauthorized"), media_type=JSON, token=False),
    Case("another token", "/hello?token=other", 401, error("Unauthorized"), media_type=JSON, token=False),
    Case("the token in the query", f"/hello?token={TOKEN}", 200, "hello world\n", token=False),
    Case(
        "another way to send it",
        "/hello",
        401,
        error("Unauthorized"),
        media_type=JSON,
        token=False,
        sent={"Authorization": f"Bearer {TOKEN}"},
    ),
    Case("OPTIONS needs no token", "/hello", 200, "", method="OPTIONS", media_type=HTML, token=False),
    Case("OPTIONS of an unknown path", "/nope", 404, error("Not Found"), method="OPTIONS", media_type=JSON),
    Case("a method that the path does not have", "/hello", 405, "", method="DELETE", media_type=HTML),
    Case("a method that no path has", "/hello", 405, error("Method Not Allowed"), method="PATCH", media_type=JSON),
    Case("a query", "/echo?a=1&a=2&b=&c", 200, echo("", {"a": ["1", "2"], "b": [""], "c": [""]})),
    Case("a query is decoded", "/echo?a=x+y%20z", 200, echo("", {"a": ["x y z"]})),
    Case("JSON", "/echo", 200, echo({"a": [1]}), method="POST", sent={"Content-Type": JSON}, content=b'{"a": [1]}'),
    Case("JSON that is none", "/echo", 200, echo("{a"), method="POST", sent={"Content-Type": JSON}, content=b"{a"),
    Case(
        "JSON with a charset is text",
        "/echo",
        200,
        echo("[1]"),
        method="PUT",
        sent={"Content-Type": f"{JSON}; charset=utf-8"},
        content=b"[1]",
    ),
    Case("a form", "/echo", 200, echo({"a": ["1", "2"], "b": [""]}), method="POST", sent=FORM, content=b"a=1&a=2&b="),
    Case("text", "/echo", 200, echo("caf\u00e9"), method="POST", sent={"Content-Type": "text/plain"}, content="caf\u00e9".encode()),
    Case("a body without a type", "/echo", 200, echo("x"), method="POST", content=b"x"),
    Case("no body", "/echo", 200, echo(""), method="POST", content=b""),
    Case("a body of DELETE", "/echo", 200, echo([1]), method="DELETE", sent={"Content-Type": JSON}, content=b"[1]"),
    Case(
        "fields of a multipart form",
        "/echo",
        200,
        echo({"a": ["1"]}),
        method="POST",
        sent=MULTIPART,
        content=b'--xx\r\nContent-Disposition: form-data; name="a"\r\n\r\n1\r\n--xx--\r\n',
    ),
    Case(
        "a multipart form that is none",
        "/echo",
        200,
        echo({}),
        method="POST",
        sent=MULTIPART,
        content=b"no form",
        differs="400 with a newer Tornado, an empty form with an older one",
    ),
    Case("a header", "/header/X-Some-Thing", 200, '"here"\n', sent={"x-some-thing": "here"}),
    Case("a header with quotes", "/header/If-None-Match", 200, '"\\"\\"9a28\\"\\""\n', sent={"If-None-Match": '""9a28""'}),
    Case("the token does not reach the notebook", "/header/Authorization", 200, "null\n", differs='`"token t0ken"`: security'),
    Case(
        "the token in the query does not either",
        f"/echo?token={TOKEN}&a=1",
        200,
        echo("", {"a": ["1"]}),
        token=False,
        differs="it is in args: security",
    ),
    Case("the environment", "/environment", 200, "1 None\n"),
    Case("a result", "/result", 200, '{"text/plain": "2"}'),
    Case("nothing", "/nothing", 200, ""),
    Case("something that is displayed as text only", "/shown", 200, ""),
    Case("pieces", "/parts", 200, "onetwo"),
    Case("an exception", "/error", 500, "Error ValueError: nope \n"),
    Case("standard error is dropped", "/stderr", 200, "out\n"),
    Case("cells of one path", "/multi", 200, "1\n"),
    Case("ResponseInfo", "/json", 201, "{}\n", media_type=JSON, headers={"X-More": "yes"}),
    Case("204", "/nocontent", 204, "", media_type=None),
    Case("an entity tag of the notebook's own", "/etag", 200, "1\n", headers={"Etag": "1234"}),
    Case("an entity tag", "/hello", 200, "hello world\n", headers={"Etag": '"22596363b3de40b06f981fb85d82312e8c0ed511"'}),
    Case(
        "what is known already",
        "/hello",
        304,
        "",
        media_type=None,
        sent={"If-None-Match": '"22596363b3de40b06f981fb85d82312e8c0ed511"'},
    ),
    Case("an exception in ResponseInfo", "/infoerror", 500, "Error KeyError: 'k' \n"),
    Case("state stays", "/count", 200, "1\n"),
    Case("state stays, again", "/count", 200, "2\n"),
    Case("the source is not served", "/_api/source", 404, error("Not Found"), media_type=JSON),
    Case("no static files are served", "/public/x", 404, error("Not Found"), media_type=JSON),
]
