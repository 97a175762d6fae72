"""The file of profiles: what is wrong with it is said in one line."""

import json
from pathlib import Path

import pytest
from pydantic import ValidationError

from podbook_core.execution.profiles import ProfilesError, parse_profiles, read_profiles_file


def test_without_a_file_there_is_the_default_profile() -> None:
    assert set(read_profiles_file(None)) == {"default"}


def test_a_file_adds_to_the_default_profile(tmp_path: Path) -> None:
    file = tmp_path / "profiles.json"
    file.write_text(json.dumps({"large": {"timeoutSeconds": 60}}))
    profiles = read_profiles_file(file)
    assert set(profiles) == {"default", "large"}
    assert profiles["large"].timeout_seconds == 60


def test_the_format_is_the_callers(tmp_path: Path) -> None:
    file = tmp_path / "profiles.txt"
    file.write_text("large small")
    assert set(read_profiles_file(file, load=lambda data: {name: {} for name in data.decode().split()})) == {
        "default",
        "large",
        "small",
    }


@pytest.mark.parametrize(
    ("given", "meant"),
    [("500m", "500m"), (2, "2"), (0.5, "0.5"), (2.0, "2"), (4294967296, "4294967296"), (4.294967296e9, "4294967296")],
)
def test_an_amount_may_be_written_as_a_number(given: object, meant: str) -> None:
    profile = parse_profiles({"large": {"resources": {"limits": {"cpu": given}}, "workingVolume": given}})["large"]
    assert profile.resources == {"limits": {"cpu": meant}}
    assert profile.working_volume == meant


@pytest.mark.parametrize("given", [True, None, [], float("inf"), float("nan")])
def test_what_is_no_amount_is_refused(given: object) -> None:
    with pytest.raises(ValidationError):
        parse_profiles({"large": {"resources": {"limits": {"cpu": given}}}})


@pytest.mark.parametrize(
    ("content", "why"),
    [
        (b"{", "cannot be parsed"),
        (b"\xff", "cannot be parsed"),
        (b"[" * 100_000, "cannot be parsed"),
        (b"[1]", "is not valid: the whole file"),
        (b'{"gpu": {"imagee": "x"}}', "is not valid: gpu/imagee"),
    ],
)
def test_what_is_wrong_is_named(tmp_path: Path, content: bytes, why: str) -> None:
    file = tmp_path / "profiles.json"
    file.write_bytes(content)
    with pytest.raises(ProfilesError) as caught:
        read_profiles_file(file)
    assert f"{file} {why}" in str(caught.value)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(ProfilesError, match=r"missing\.json cannot be read: No such file"):
        read_profiles_file(tmp_path / "missing.json")
