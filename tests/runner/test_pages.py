"""The pages are nbconvert's, byte for byte, although the renderer spares itself some of what nbconvert does."""

import json
from pathlib import Path
from typing import Any

from tests.support.notebook_file import code_cell, markdown_cell, notebook_document

from .conftest import printed_by

PROGRAM = """
import json, sys
from pathlib import Path
import bs4
from jinja2 import FileSystemBytecodeCache
from nbconvert.exporters import html
from podbook_runner.html import exporter as render
from podbook_runner.html import templates
folder = Path(sys.argv[2])
nb = render.notebook_of(json.loads(Path(sys.argv[1]).read_text()))
plain = html.HTMLExporter(template_name="lab")
for name in render._ADDRESSES:
    if plain.has_trait(name):
        setattr(plain, name, "")
expected = plain.from_notebook_node(nb)[0]
templates.main(folder)
compiled = sorted(folder.iterdir())
assert all(file.stat().st_mode & 0o777 == 0o644 for file in compiled), "not for every user"
exporter = render.make_exporter(templates.CompiledTemplates(str(folder)))
assert html.BeautifulSoup is not bs4.BeautifulSoup
render.warm_up(exporter)
assert exporter.from_notebook_node(nb)[0] == expected, "another page"
assert sorted(folder.iterdir()) == compiled, "the folder of the image was written to"
uncompiled = render.make_exporter(None)
assert uncompiled.from_notebook_node(nb)[0] == expected, "another page without compiled templates"
soup = html.BeautifulSoup("<p class='a'><b>x</b></p>", features="html.parser")
assert [str(found) for found in soup.select("p.a > b")] == ["<b>x</b>"], "other selectors"
print(len(expected), expected.count("No description"), expected.count('tabindex="0"'), len(compiled))
"""
LEXERS = """
import sys
from podbook_runner.html.exporter import make_exporter, warm_up
warm_up(make_exporter(None))
from IPython.lib.lexers import IPython3Lexer
import ipython_pygments_lexers
assert IPython3Lexer is ipython_pygments_lexers.IPython3Lexer
print(sorted({"IPython", "requests", "soupsieve.css_parser"} & set(sys.modules)))
"""
PIXEL = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="


def notebook() -> dict[str, Any]:
    """Something of everything, with what could be mistaken for nbconvert's own."""
    many = code_cell("%timeit x\nimport os  # π\n!ls")
    many["outputs"] = [
        {"output_type": "stream", "name": "stdout", "text": "a & b <c>\n"},
        {"output_type": "stream", "name": "stderr", "text": "\x1b[31mred\x1b[0m"},
        {"output_type": "display_data", "metadata": {}, "data": {"image/png": PIXEL, "text/plain": "pixel"}},
        {
            "output_type": "display_data",
            "metadata": {},
            "data": {"text/html": "<img src='x'><IMG src=y alt=''><div class='jp-OutputArea-output'>z"},
        },
        {"output_type": "display_data", "metadata": {}, "data": {"text/latex": "$e^x$"}},
        {"output_type": "error", "ename": "E", "evalue": "e", "traceback": ["\x1b[0;31mE\x1b[0m: e"]},
    ]
    text = "# Title\n\n![picture](a.png) `code` $x^2$\n\n```python\nx = 1\n```\n\n| a |\n|---|\n| b |"
    metadata = {
        "kernelspec": {"name": "python3", "display_name": "Python 3", "language": "python"},
        "language_info": {"name": "python", "pygments_lexer": "ipython3"},
    }
    raw = {"id": "r", "cell_type": "raw", "metadata": {}, "source": "<b>"}
    cells = [markdown_cell(text), many, code_cell(""), raw, markdown_cell("</div></body><img src=z>"), code_cell("after")]
    return notebook_document(cells, metadata)


def test_a_page_is_what_nbconvert_makes(tmp_path: Path) -> None:
    file = tmp_path / "notebook.ipynb"
    file.write_text(json.dumps(notebook()))
    length, undescribed, focusable, compiled = map(int, printed_by(PROGRAM, file, tmp_path / "share/templates").split())
    assert (length > 100_000, undescribed > 0, focusable > 2, compiled > 4) == (True, True, True, True)


def test_rendering_loads_neither_ipython_nor_a_grammar_of_css() -> None:
    assert printed_by(LEXERS) == "[]\n"
