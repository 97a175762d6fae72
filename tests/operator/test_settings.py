"""Settings from the environment, and the profiles file."""

from pathlib import Path

import pytest
from pydantic import ValidationError

from podbook_core.execution.profiles import ProfilesError
from podbook_operator.settings import Settings, read_profiles
from podbook_operator.watch.kopf_settings import kopf_settings
from podbook_operator.wiring import policy_from


def test_settings_come_from_the_environment_and_hide_secrets(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PODBOOK_NAMESPACE", "runs")
    monkeypatch.setenv("PODBOOK_MAX_ACTIVE", "7")
    monkeypatch.setenv("PODBOOK_S3__ENDPOINT", "http://minio:9000")
    monkeypatch.setenv("PODBOOK_S3__SECRET_KEY", "very-secret")
    settings = Settings()
    assert (settings.namespace, settings.max_active, settings.s3.endpoint) == ("runs", 7, "http://minio:9000")
    assert settings.s3.for_store().secret_key == "very-secret"
    assert "very-secret" not in repr(settings) + str(settings.s3.for_store())


@pytest.mark.parametrize(("name", "value"), [("MAX_ACTIVE", "0"), ("WORKERS", "many"), ("LOG_LEVEL", "LOUD"), ("S3__BUCKETT", "x")])
def test_a_wrong_setting_is_refused(monkeypatch: pytest.MonkeyPatch, name: str, value: str) -> None:
    monkeypatch.setenv(f"PODBOOK_{name}", value)
    with pytest.raises(ValidationError):
        Settings()


def test_every_setting_is_described() -> None:
    assert all(field.description for field in Settings.model_fields.values())


def test_profiles_get_the_default_image(tmp_path: Path) -> None:
    file = tmp_path / "profiles.yaml"
    file.write_text("default: {}\ngpu: {image: 'gpu:1', nodeSelector: {pool: gpu}}\n")
    profiles = read_profiles(Settings(profiles_file=file, runner_image="runner:1"))
    assert {name: profile.image for name, profile in profiles.items()} == {"default": "runner:1", "gpu": "gpu:1"}


def test_without_a_file_there_is_the_default_profile() -> None:
    assert read_profiles(Settings(runner_image="runner:1"))["default"].image == "runner:1"


@pytest.mark.parametrize("text", ["gpu: {imagee: x}", "gpu: 3", "- a", "{", "[" * 10_000])
def test_profiles_that_cannot_be_used_are_refused_with_the_files_name(tmp_path: Path, text: str) -> None:
    file = tmp_path / "profiles.yaml"
    file.write_text(text)
    with pytest.raises(ProfilesError, match=r"profiles\.yaml"):
        read_profiles(Settings(profiles_file=file))
    with pytest.raises(ProfilesError, match=r"missing\.yaml"):
        read_profiles(Settings(profiles_file=tmp_path / "missing.yaml"))


def test_decisions_see_the_settings() -> None:
    policy = policy_from(Settings(ttl_failed_seconds=5, publish_timeout_seconds=7))
    assert (policy.ttl_failed, policy.publish_timeout) == (5, 7)


def test_kopf_leaves_nothing_of_its_own_on_objects_and_never_watches_without_time_outs() -> None:
    settings = kopf_settings()
    assert not settings.posting.enabled
    assert settings.scanning.disabled
    assert settings.peering.standalone
    # A limit would be a number of objects for each five seconds, not of workers.
    assert settings.queueing.worker_limit is None
    assert settings.watching.server_timeout
    assert settings.watching.client_timeout
    assert settings.watching.client_timeout > settings.watching.server_timeout
