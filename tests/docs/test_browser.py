"""The pages a person opens, in a real Chromium: the executed notebook, and the API's documentation."""

import os
import re
import shutil
from collections.abc import Iterator

import httpx
import pytest
from playwright.sync_api import Browser, Page, Request, sync_playwright
from tests.docs.conftest import Shown

_ARGUMENTS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-sync",
]


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """The Chromium of this machine. ``PODBOOK_REQUIRE_BROWSER=1`` makes its absence a failure."""
    executable = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if executable is None:
        if os.environ.get("PODBOOK_REQUIRE_BROWSER"):
            pytest.fail("no Chromium on this machine")
        pytest.skip("no Chromium on this machine: install the package chromium to run this")
    with sync_playwright() as playwright:
        started = playwright.chromium.launch(executable_path=executable, args=_ARGUMENTS)
        yield started
        started.close()


def _foreign_requests(page: Page, own: str) -> list[str]:
    """A list that fills with the requests that leave for elsewhere; what the page's own policy stops is not sent."""
    sent: list[str] = []

    def asked(request: Request) -> None:
        if not request.url.startswith((own, "data:", f"blob:{own}")):
            sent.append(request.url)

    def failed(request: Request) -> None:
        if request.failure == "csp":
            sent.remove(request.url)

    page.on("request", asked)
    page.on("requestfailed", failed)
    return sent


def test_the_notebook_renders_offline_and_reaches_nothing(shown: Shown, browser: Browser) -> None:
    answer = httpx.post(
        f"{shown.url}/v1/run/analysis", json={"customer_name": "contoso"}, headers={"Prefer": "wait=100"}, timeout=120
    )
    assert answer.json() == {"needs_discount": True}
    page = browser.new_page()
    foreign = _foreign_requests(page, shown.url)
    page.goto(f"{shown.url}/v1/executions/{answer.headers['Podbook-Execution']}/html")
    assert "Revenue" in page.inner_text("body")
    assert page.locator("img").count() >= 1
    assert page.locator("img").first.evaluate("image => image.naturalWidth") > 100
    # The sandbox gives the page an origin of its own: it cannot read the API's answers or storage.
    assert page.evaluate("self.origin") == "null"
    assert page.evaluate("fetch('/v1/notebooks').then(() => 'read', () => 'refused')") == "refused"
    assert foreign == []
    page.close()


def test_the_documentation_shows_a_typed_operation_for_each_notebook(shown: Shown, browser: Browser) -> None:
    page = browser.new_page()
    foreign = _foreign_requests(page, shown.url)
    page.goto(f"{shown.url}/docs")
    page.get_by_text(re.compile(r"/v1/run/\W?analysis")).first.wait_for()
    page.goto(f"{shown.url}/redoc")
    page.get_by_text("Revenue analysis").first.wait_for(state="attached")
    assert foreign == []
    page.close()
