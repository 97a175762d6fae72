"""``python -m podbook_api``: what it needs, said in one line each."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from podbook_api.__main__ import SetupError, build_context, main
from podbook_api.auth.keys import Anonymous
from podbook_api.settings import ApiSettings
from podbook_core.store.s3_settings import S3Section

BUCKET = S3Section(bucket="podbook", endpoint="http://127.0.0.1:9")


@pytest.fixture
def secret(tmp_path: Path) -> Path:
    """A secret that links can be signed with."""
    path = tmp_path / "secret"
    path.write_text("s" * 64)
    return path


def test_it_is_built_without_connecting_to_anything(secret: Path, tmp_path: Path) -> None:
    profiles = tmp_path / "profiles.json"
    profiles.write_text(json.dumps({"large": {"timeoutSeconds": 60}}))
    settings = ApiSettings(s3=BUCKET, link_secret_file=secret, allow_anonymous=True, profiles_file=profiles)
    context = build_context(settings)
    assert isinstance(context.keys, Anonymous)
    assert set(context.profiles) == {"default", "large"}
    context.validator.close()


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"s3": None}, "PODBOOK_S3__BUCKET is not set"),
        ({"link_secret_file": None}, "PODBOOK_LINK_SECRET_FILE is not set"),
        ({"link_secret_file": Path("/nonexistent/secret")}, "link secret"),
        ({"allow_anonymous": False}, "PODBOOK_KEYS_FILE is not set"),
        ({"keys_file": Path("/nonexistent/keys")}, "are mutually exclusive"),
        ({"keys_file": Path("/nonexistent/keys"), "allow_anonymous": False}, "cannot be read"),
        ({"profiles_file": Path("/nonexistent/profiles")}, "profiles file"),
    ],
)
def test_what_is_missing_is_named(secret: Path, changes: dict[str, object], why: str) -> None:
    settings = ApiSettings(s3=BUCKET, link_secret_file=secret, allow_anonymous=True).model_copy(update=changes)
    with pytest.raises(SetupError, match=why):
        build_context(settings)


def test_a_bad_setting_is_named_as_its_variable(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setenv("PODBOOK_MAX_QUEUED", "many")
    monkeypatch.setenv("PODBOOK_S3__BUCKET", "x")
    assert main() == 2
    lines = capsys.readouterr().err.splitlines()
    assert sorted(line.partition(": ")[2].partition(": ")[0] for line in lines) == ["PODBOOK_MAX_QUEUED", "PODBOOK_S3__BUCKET"]


def test_a_setting_that_is_no_json_is_one_line(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setenv("PODBOOK_CORS_ORIGINS", "https://somewhere.example")
    assert main() == 2
    said = capsys.readouterr().err
    assert len(said.splitlines()) == 1
    assert "cors_origins" in said


@pytest.mark.parametrize("written", ['["native", "jupyrest2"]', "native,jupyrest2", " native , jupyrest2,"])
def test_doors_are_named_in_json_or_as_people_write_them(monkeypatch: pytest.MonkeyPatch, written: str) -> None:
    monkeypatch.setenv("PODBOOK_DOORS", written)
    assert ApiSettings().doors == ("native", "jupyrest2")


@pytest.mark.parametrize("written", ["[", '[{"name": "native"}]', "[1]"])
def test_doors_that_are_no_names_are_refused(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], written: str
) -> None:
    monkeypatch.setenv("PODBOOK_DOORS", written)
    assert main() == 2
    assert "PODBOOK_DOORS" in capsys.readouterr().err


def test_a_door_that_is_not_there_is_refused_with_those_there_are(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("PODBOOK_DOORS", "native,front")
    assert main() == 2
    assert "there is no door 'front'; there are native, jupyrest1, jupyrest2" in capsys.readouterr().err


def test_secrets_do_not_show() -> None:
    settings = ApiSettings(s3=S3Section.model_validate({"bucket": "podbook", "access_key": "AKIA", "secret_key": "hush-hush"}))
    assert "hush-hush" not in repr(settings)


def start(folder: Path, kubeconfig: str | None) -> "subprocess.CompletedProcess[str]":
    """Run the program as configured except for its cluster."""
    (folder / "secret").write_text("s" * 64)
    if kubeconfig is not None:
        (folder / "kubeconfig").write_text(kubeconfig)
    kept = {name: value for name, value in os.environ.items() if not name.startswith("PODBOOK_")}
    settings = {
        "PODBOOK_S3__BUCKET": "podbook",
        "PODBOOK_S3__ENDPOINT": "http://127.0.0.1:9",
        "PODBOOK_LINK_SECRET_FILE": str(folder / "secret"),
        "PODBOOK_ALLOW_ANONYMOUS": "true",
        "PODBOOK_PORT": "0",
        "KUBECONFIG": str(folder / "kubeconfig"),
    }
    return subprocess.run(
        [sys.executable, "-m", "podbook_api"], env={**kept, **settings}, capture_output=True, text=True, timeout=60, check=False
    )


AWAY = """
apiVersion: v1
kind: Config
clusters: [{name: test, cluster: {server: "https://127.0.0.1:9"}}]
users: [{name: admin, user: {token: hush-hush}}]
contexts: [{name: test, context: {cluster: test, user: admin}}]
current-context: test
"""


@pytest.mark.parametrize(
    ("kubeconfig", "why"),
    [
        (None, "there is no usable configuration for a cluster"),
        ("{: [", "the file cannot be parsed"),
        ("- a list", "the file cannot be parsed"),
        (AWAY, "https://127.0.0.1:9: the API server cannot be reached"),
    ],
)
def test_without_a_cluster_one_line_says_so(tmp_path: Path, kubeconfig: str | None, why: str) -> None:
    ended = start(tmp_path, kubeconfig)
    assert ended.returncode == 2
    assert len(ended.stderr.splitlines()) == 1
    assert ended.stderr.startswith("podbook-api: ")
    assert why in ended.stderr
    assert "Traceback" not in ended.stdout + ended.stderr
    assert "hush-hush" not in ended.stdout + ended.stderr
