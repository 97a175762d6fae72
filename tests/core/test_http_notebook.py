"""HTTP notebooks: which cells answer what, which route a path leads to, what REQUEST says, and what the answer is."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from podbook_core.http_notebook.annotations import comment_prefix, read_cells, read_swagger_cells
from podbook_core.http_notebook.documents import openapi_document, swagger_document
from podbook_core.http_notebook.messages import InvalidMessageError, Ran, Run, Start
from podbook_core.http_notebook.request import HttpRequest, request_source, request_text
from podbook_core.http_notebook.response import CellRun, answer_of
from podbook_core.http_notebook.routes import PathNotTextError, Routes


@pytest.mark.parametrize(
    ("source", "path"),
    [
        ("# GET /x", "/x"),
        ("#  GET   /x  ", "/x"),
        ("#\tPUT /x y", "/x y"),
        ("# GET /x\nprint(1)", "/x"),
        ("# GET /fakeprint 'I am a path'", "/fakeprint 'I am a path'"),
        ("#GET /x", None),
        ("# get /x", None),
        ("# PATCH /x", None),
        (" # GET /x", None),
        ("\n# GET /x", None),
        ("# GET x", None),
        ("// GET /x", None),
    ],
)
def test_an_annotation_is_the_first_line_to_the_letter(source: str, path: str | None) -> None:
    found = read_cells([source])
    assert [endpoint.path for endpoint in found.endpoints] == ([] if path is None else [path])
    assert found.set_up == ((source,) if path is None else ())


def test_what_is_nearly_an_annotation_is_warned_of() -> None:
    for source in ("# get /x", "\n# GET /x", "# PATCH /x"):
        assert len(read_cells([source]).warnings) == 1
    assert "no cell answers" in read_cells(["# ResponseInfo GET /x"]).warnings[0]


def test_the_comment_sign_is_that_of_the_language() -> None:
    assert (comment_prefix("scala"), comment_prefix("python"), comment_prefix(None)) == ("//", "#", "#")
    assert comment_prefix("lua", {"lua": "--", "": "#"}) == "--"
    assert [item.path for item in read_cells(["// GET /x"], "//").endpoints] == ["/x"]


def test_routes_are_tried_constants_first_then_by_how_late_the_first_parameter_comes() -> None:
    written = ["/:id", "/t/:id", "/t/t/:id", "/t/t/t", "/a/:x/b/:y"]
    endpoints = read_cells([f"# GET {path}\n1" for path in written]).endpoints
    assert [endpoint.path for endpoint in endpoints] == ["/t/t/t", "/t/t/:id", "/t/:id", "/a/:x/b/:y", "/:id"]


@pytest.mark.parametrize(
    ("asked", "found"),
    [
        ("/a/b", ("/a/b", {})),
        ("/a/x", ("/a/:one", {"one": "x"})),
        ("/a/x%2Fy", ("/a/:one", {"one": "x/y"})),
        ("/a/%C3%A9+", ("/a/:one", {"one": "é+"})),
        ("/a/", None),
        ("/a//b", None),
        ("/a/b/", None),
        ("/A/b", None),
        ("/my%20data", ("/my data", {})),
        ("/v7/x", ("/v:number/x", {"number": "7"})),
        ("/v/x", None),
        ("/p.q", ("/p.q", {})),
        ("/pxq", None),
    ],
)
def test_a_path_leads_to_the_first_route_it_fits(asked: str, found: Any) -> None:
    paths = ["/a/b", "/a/:one", "/my data", "/v:number/x", "/p.q"]
    match = Routes(read_cells([f"# GET {path}\n1" for path in paths]).endpoints).match(asked)
    assert (None if match is None else (match.endpoint.path, dict(match.path))) == found


def test_a_value_in_the_path_must_be_text() -> None:
    with pytest.raises(PathNotTextError, match="one"):
        Routes(read_cells(["# GET /:one"]).endpoints).match("/%ff")


def test_swagger_documents_lead_to_cells() -> None:
    document = {
        "swagger": "2.0",
        "paths": {
            "/behind": {"get": {"operationId": "a", "parameters": [{"name": "x"}, {"name": "y"}]}},
            "/query": {"get": {"operationId": "b", "parameters": [{"name": "q", "in": "query"}]}},
            "/place/{id}": {"DELETE": {"operationId": "c", "parameters": [{"name": "id", "in": "path"}]}},
            "/undone": {"get": {"operationId": "d"}},
            "/odd": [1, {"get": None}],
        },
    }
    cells = [("markdown", f"text\n```\n{json.dumps(document)}\n```"), ("code", "setup = 1")]
    cells += [("code", f"# operationId: {name}\n1") for name in ("a", "b", "c", "e")]
    found = read_swagger_cells(cells)
    assert {(item.path, *item.handlers) for item in found.endpoints} == {
        ("/behind/:x/:y", "GET"),
        ("/query/:q", "GET"),
        ("/query", "GET"),
        ("/place/:id", "DELETE"),
    }
    assert found.set_up == ("setup = 1",)
    assert len(found.warnings) == 2


@given(st.lists(st.tuples(st.sampled_from(["code", "markdown"]), st.text())))
def test_no_notebook_breaks_the_readers(cells: list[tuple[str, str]]) -> None:
    read_swagger_cells(cells)
    found = read_cells([source for _, source in cells])
    openapi_document(found, "t")
    swagger_document(found, "t")


def test_request_hides_the_token_and_nothing_else() -> None:
    request = HttpRequest(
        query="token=s3cret&a=1&token=own",
        headers=[("authorization", "token s3cret"), ("x-two", "1"), ("x-two", "2"), ("authorization", "Bearer own")],
        path={"id": "7"},
        secrets=frozenset({"s3cret"}),
    )
    assert json.loads(request_text(request)) == {
        "body": "",
        "args": {"a": ["1"], "token": ["own"]},
        "path": {"id": "7"},
        "headers": {"X-Two": ["1", "2"], "Authorization": "Bearer own"},
    }


@given(st.text(st.characters(exclude_categories=["Cs"])))
def test_request_comes_through_as_it_is(text: str) -> None:
    request = HttpRequest(query="", headers=[("content-type", "text/plain")], path={"name": text}, body=text.encode())
    found: dict[str, Any] = {}
    exec(request_source(request_text(request), "python"), found)  # noqa: S102 - it is what the kernel does
    told = json.loads(found["REQUEST"])
    assert (told["body"], told["path"]) == (text, {"name": text})


@pytest.mark.parametrize(
    "told",
    ["", "[]", "null", '"x"', '{"status": "x"}', '{"status": 99}', '{"status": 1000}', '{"status": true}', '{"headers": []}'],
)
def test_a_response_info_that_is_none_is_said(told: str) -> None:
    answer = answer_of(CellRun("body"), CellRun(told))
    assert answer.status == 500
    assert answer.body.startswith(b"Error ResponseInfo: ")


def test_headers_that_count_for_more_than_the_answer_are_dropped_where_others_share_the_address() -> None:
    names = ["Set-Cookie", "content-security-policy", "Access-Control-Allow-Origin", "Strict-Transport-Security"]
    names += ["Clear-Site-Data", "Service-Worker-Allowed", "Content-Length", "Transfer-Encoding", "Connection"]
    told = CellRun(json.dumps({"headers": {**dict.fromkeys(names, "1"), "X-Own": "1", "X-Split": "a\r\nb: c"}}))
    shared = answer_of(CellRun("x"), told)
    assert {name for name in shared.headers if name != "Content-Type"} == {"X-Own"}
    assert set(shared.dropped) == {*names, "X-Split"}
    alone = answer_of(CellRun("x"), told, alone=True)
    assert set(alone.dropped) == {"Content-Length", "Transfer-Encoding", "Connection", "X-Split"}


def test_openapi_names_each_shape_and_operation_once() -> None:
    found = read_cells(["# GET /a/:x\n1", "# PUT /a/:y\n1", "# GET /a-b\n1", "# GET /a/b\n1", "# GET /c/:z/:z\n1"])
    document = openapi_document(found, "t", base="/n", token=True)
    assert set(document["paths"]) == {"/n/a-b", "/n/a/b", "/n/a/{x}"}
    ids = [operation["operationId"] for item in document["paths"].values() for operation in item.values()]
    assert len(set(ids)) == len(ids)
    assert document["security"] == [{"token": []}, {"tokenInQuery": []}]


def test_messages_come_through_and_nonsense_is_refused() -> None:
    start = Start("python3", "python", "/work", ("a = 1",), environment={"A": "1"})
    assert Start.from_line(start.line()) == start
    run = Run(["REQUEST = 1", "print(1)"], 3.5, quiet=1)
    assert Run.from_line(run.line()) == run
    ran = Ran([CellRun("x", {"text/plain": "1"}, None, ("ValueError", "no"))], late=True, usable=False, lost="gone")
    assert Ran.from_line(ran.line()) == ran
    for line in (b"", b"{", b"[]", b'{"runs": 1}', b'{"runs": [{"stdout": 1}]}', b'{"runs": [], "lost": 1}'):
        with pytest.raises(InvalidMessageError):
            Ran.from_line(line)
    for line in (b'{"sources": 1}', b'{"sources": [1]}', b'{"sources": [], "seconds": "x", "quiet": 0}'):
        with pytest.raises(InvalidMessageError):
            Run.from_line(line)
