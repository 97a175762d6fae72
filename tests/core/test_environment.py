"""What is said of settings that cannot be used."""

import pytest
from pydantic import ValidationError
from pydantic_settings import BaseSettings, SettingsConfigDict, SettingsError

from podbook_core.environment import PREFIX, wrong_variables
from podbook_core.store.s3_settings import S3Section


class Settings(BaseSettings):
    model_config = SettingsConfigDict(env_prefix=PREFIX, env_nested_delimiter="__")

    workers: int = 1
    origins: tuple[str, ...] = ()
    s3: S3Section = S3Section(bucket="podbook")


def said() -> list[str]:
    with pytest.raises((ValidationError, SettingsError)) as caught:
        Settings()
    return wrong_variables(caught.value)


def test_each_wrong_setting_is_named_as_its_variable_and_no_value_is_repeated(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PODBOOK_WORKERS", "hush-hush")
    monkeypatch.setenv("PODBOOK_S3__BUCKET", "x")
    monkeypatch.setenv("PODBOOK_S3__SECRET_KEY", "hush-hush")
    lines = said()
    assert [line.partition(": ")[0] for line in sorted(lines)] == ["PODBOOK_S3__BUCKET", "PODBOOK_WORKERS"]
    assert "hush-hush" not in str(lines)


def test_a_variable_that_should_hold_json_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PODBOOK_ORIGINS", "hush-hush")
    assert len(said()) == 1
    assert "origins" in said()[0]
    assert "hush-hush" not in said()[0]
