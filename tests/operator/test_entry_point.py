"""``python -m podbook_operator`` and ``python -m podbook_operator.reindex``: settings that cannot be used are said in one line each."""

from collections.abc import Callable

import pytest

from podbook_operator import __main__, reindex


@pytest.mark.parametrize(("main", "status"), [(__main__.main, 2), (reindex.main, 1)])
def test_bad_settings_are_named_as_their_variables(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], main: Callable[[], int], status: int
) -> None:
    monkeypatch.setenv("PODBOOK_MAX_ACTIVE", "many")
    monkeypatch.setenv("PODBOOK_S3__BUCKET", "x")
    monkeypatch.setenv("PODBOOK_S3__SECRET_KEY", "hush-hush")
    assert main() == status
    printed = capsys.readouterr()
    lines = sorted(printed.err.splitlines())
    assert [line.split(": ")[:2] for line in lines] == [
        ["podbook-operator", "PODBOOK_MAX_ACTIVE"],
        ["podbook-operator", "PODBOOK_S3__BUCKET"],
    ]
    assert "hush-hush" not in printed.err + printed.out


@pytest.mark.parametrize("main", [__main__.main, reindex.main])
def test_a_setting_that_is_no_json_is_one_line(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], main: Callable[[], int]
) -> None:
    monkeypatch.setenv("PODBOOK_S3", "{")
    assert main() in (1, 2)
    assert len(capsys.readouterr().err.splitlines()) == 1
