"""The Python client against a real server with the example notebooks."""

import threading
from pathlib import Path
from typing import Any

import httpx
import pytest

from podbook.client import Client
from podbook.errors import AccessDeniedError, ExecutionFailed, InvalidRequestError, NotFoundError, StillRunningError
from podbook.execution import Execution
from podbook_core.notebook.folder import SourceError


@pytest.fixture(scope="module")
def analysed(client: Client) -> Execution:
    """One ended run of the revenue analysis."""
    started = client.submit("analysis", {"customer_name": "microsoft"}, labels={"team": "sales"}, idempotency_key="once")
    return client.wait(started.id)


class TestResults:
    def test_a_notebook_is_a_function(self, client: Client) -> None:
        output = client.run("analysis", customer_name="microsoft")
        assert output == {"needs_discount": False}

    def test_an_ended_run_tells_what_it_did(self, client: Client, analysed: Execution) -> None:
        assert (analysed.succeeded, analysed.finished, analysed.stored, analysed.reason) == (True, True, True, "Succeeded")
        assert analysed.parameters == {"customer_name": "microsoft"}
        assert analysed.progress is not None
        assert analysed.progress.completed == analysed.progress.total > 1
        assert client.get(analysed.id) == analysed

    def test_everything_it_left_can_be_read(self, client: Client, analysed: Execution, tmp_path: Path) -> None:
        assert client.output(analysed.id) == {"needs_discount": False}
        assert "microsoft" in client.html(analysed.id)
        assert len(client.report(analysed.id)) < len(client.html(analysed.id))
        assert b'"nbformat"' in client.notebook(analysed.id)
        assert isinstance(client.logs(analysed.id), str)
        client.download(analysed.id, "html", tmp_path / "page.html")
        assert (tmp_path / "page.html").read_text() == client.html(analysed.id)
        assert [path.name for path in tmp_path.iterdir()] == ["page.html"]

    def test_a_link_needs_no_key(self, client: Client, analysed: Execution) -> None:
        link = client.link(analysed.id, "html")
        shown = httpx.get(link, trust_env=False)
        assert shown.status_code == 200
        assert "sandbox" in shown.headers["Content-Security-Policy"]

    def test_what_is_not_there_is_not_found(self, client: Client, analysed: Execution, tmp_path: Path) -> None:
        with pytest.raises(NotFoundError):
            client.file(analysed.id, "no-such-file.png")
        with pytest.raises(NotFoundError):
            client.download(analysed.id, "files/no-such-file.png", tmp_path / "x")
        assert list(tmp_path.iterdir()) == []
        with pytest.raises(NotFoundError, match="no-such-execution"):
            client.get("no-such-execution")

    def test_the_same_idempotency_key_runs_once(self, client: Client, analysed: Execution) -> None:
        again = client.submit("analysis", {"customer_name": "microsoft"}, labels={"team": "sales"}, idempotency_key="once")
        assert again.id == analysed.id
        with pytest.raises(InvalidRequestError, match="Idempotency-Key"):
            client.submit("analysis", {"customer_name": "contoso"}, idempotency_key="once")

    def test_it_is_in_the_lists(self, client: Client, analysed: Execution) -> None:
        assert analysed.id in [item.id for item in client.list(notebook="analysis", phase="Succeeded")]
        assert [item.id for item in client.list(labels={"team": "sales"})] == [analysed.id]
        assert len(list(client.list(limit=1))) == 1

    def test_wrong_parameters_start_nothing(self, client: Client) -> None:
        before = [item.id for item in client.list()]
        with pytest.raises(InvalidRequestError) as caught:
            client.run("analysis", customer_name=7, decline_threshold=2)
        assert {item.path for item in caught.value.errors} == {"/customer_name", "/decline_threshold"}
        with pytest.raises(NotFoundError, match="no-such-notebook"):
            client.run("no-such-notebook")
        assert [item.id for item in client.list()] == before

    def test_a_failed_run_says_where_and_keeps_its_page(self, client: Client) -> None:
        with pytest.raises(ExecutionFailed, match="Stock of item B-204") as caught:
            client.run("failing")
        failed = caught.value
        assert (failed.reason, failed.ename) == ("CellFailed", "ValueError")
        assert failed.cell is not None
        assert "B-204" in client.html(failed.execution)
        again = client.wait(client.rerun(failed.execution).id)
        assert again.reason == "CellFailed"
        assert again.id != failed.execution
        client.delete(again.id)
        with pytest.raises(NotFoundError):
            client.get(again.id)

    def test_a_file_goes_in_and_a_file_comes_out(self, client: Client) -> None:
        picture = Path(__file__).parents[2] / "notebooks" / "samples" / "hills.png"
        started = client.submit("thumbnail", {"width": 32}, files={"image": picture})
        ended = client.wait(started.id)
        assert ended.succeeded, ended.message
        [file] = client.files(ended.id)
        assert (file.path, file.media_type) == ("thumbnail.png", "image/png")
        data = client.file(ended.id, file.path)
        assert data.startswith(b"\x89PNG")
        assert len(data) == file.size

    def test_files_and_options_go_together(self, client: Client) -> None:
        picture = {"image": Path(__file__).parents[2] / "notebooks" / "samples" / "hills.png"}
        output = client.run(
            "thumbnail", width=32, files=picture, profile="default", timeout_seconds=99, labels={"team": "pictures"}
        )
        assert output["width"] == 32
        [execution] = [
            item for item in client.list(labels={"team": "pictures"}) if item.document["spec"].get("timeoutSeconds") == 99
        ]
        assert execution.document["spec"]["profile"] == "default"
        with pytest.raises(InvalidRequestError, match="timeoutSeconds"):
            client.submit("thumbnail", files=picture, timeout_seconds=0)
        with pytest.raises(ValueError, match="options"):
            client.submit("thumbnail", files={"options": b"{}"})


class TestWaiting:
    @pytest.fixture(autouse=True)
    def gated(self, client: Client, own_notebooks: Path) -> None:
        client.publish(own_notebooks / "gated.ipynb")

    def test_progress_is_followed_and_waiting_ends_in_time(self, client: Client, tmp_path: Path) -> None:
        gate = tmp_path / "gate"
        with pytest.raises(StillRunningError) as caught:
            client.run("gated", gate=str(gate), wait=1.0)
        execution = caught.value.execution
        state = client.get(execution)
        seen = []
        for event in client.events(execution):
            state = state.after(event)
            seen.append(state)
            if state.progress is not None and state.progress.completed >= 2:
                gate.touch()
        assert seen[-1].succeeded
        assert any(item.phase == "Running" and item.progress is not None and item.progress.completed >= 2 for item in seen)
        assert "before the gate" in client.logs(execution)

    def test_whoever_waits_learns_of_a_cancel(self, client: Client, server: Any, tmp_path: Path) -> None:
        started = client.submit("gated", {"gate": str(tmp_path / "never")})
        ended: list[Execution] = []

        def wait() -> None:
            with Client(server.url, server.admin_key) as other:
                ended.append(other.wait(started.id))

        waiter = threading.Thread(target=wait)
        waiter.start()
        client.cancel(started.id)
        waiter.join(60)
        assert [item.reason for item in ended] == ["Cancelled"]
        assert client.cancel(started.id).reason == "Cancelled"


class TestNotebooks:
    def test_a_folder_notebook_is_published_with_its_assets_and_run(self, client: Client, own_notebooks: Path) -> None:
        path = own_notebooks / "sub" / "greet.ipynb"
        published = client.publish(path, folder=own_notebooks)
        assert (published.name, published.created) == ("sub.greet", True)
        assert client.publish(path, folder=own_notebooks).version == published.version
        listed = {item.name: item for item in client.notebooks()}
        assert (listed["sub.greet"].status, listed["sub.greet"].title) == ("ready", "Greeting")
        assert listed["sub.greet"].version == published.version
        assert client.run("sub.greet", name="world") == {"text": "hello world"}
        client.unpublish("sub.greet")
        assert "sub.greet" not in [item.name for item in client.notebooks()]

    def test_what_cannot_be_published_says_why(self, client: Client, own_notebooks: Path, tmp_path: Path) -> None:
        with pytest.raises(InvalidRequestError, match=r"objekt|/input/type"):
            client.publish(own_notebooks / "wrong.ipynb")
        with pytest.raises(SourceError, match="does not exist"):
            client.publish(tmp_path / "none.ipynb")
        assert "wrong" not in [item.name for item in client.notebooks()]


def test_a_key_that_is_none_is_refused(client: Client) -> None:
    with Client(client.url, "pbk_wrong") as stranger, pytest.raises(AccessDeniedError) as caught:
        stranger.notebooks()
    assert caught.value.status == 401
    assert "pbk_wrong" not in str(caught.value)
