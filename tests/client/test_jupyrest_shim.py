"""The jupyrest shim as the wheel brings it: found without the real package, out of the way with it."""

import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel of this repository."""
    folder = tmp_path_factory.mktemp("wheel")
    subprocess.run(
        [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", folder],
        check=True,
        cwd=ROOT,
        capture_output=True,
    )
    (path,) = folder.glob("*.whl")
    return path


@pytest.fixture
def site_packages(wheel: Path, tmp_path: Path) -> Path:
    """A folder with the wheel's contents, as an installer leaves them."""
    folder = tmp_path / "site-packages"
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(folder)
    return folder


def run_with(site_packages: Path, code: str) -> str:
    """What code prints in an interpreter whose only site-packages folder is this one."""
    prelude = f"import site\nsite.addsitedir({str(site_packages)!r})\n"
    command = [sys.executable, "-I", "-S", "-c", prelude + code]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


def test_the_wheel_has_the_shim_and_no_top_level_jupyrest(wheel: Path) -> None:
    names = set(zipfile.ZipFile(wheel).namelist())
    assert {"podbook_shims.pth", "podbook_shims/jupyrest/__init__.py", "podbook/output.py"} <= names
    assert not any(name.startswith(("jupyrest/", "operator/")) for name in names)


def test_notebooks_import_save_output_from_the_shim(site_packages: Path) -> None:
    printed = run_with(site_packages, "from jupyrest import save_output\nsave_output(data='[1]', display=True)")
    assert printed.split() == ["[", "1", "]"]


def test_the_real_package_wins_where_it_is_installed(site_packages: Path) -> None:
    real = site_packages / "jupyrest"
    real.mkdir()
    (real / "__init__.py").write_text("save_output = 'the real one'\n")
    assert run_with(site_packages, "from jupyrest import save_output\nprint(save_output)") == "the real one\n"


def test_models_of_the_shim_can_be_saved() -> None:
    code = (
        "from jupyrest import save_output\n"
        "from jupyrest.nbschema import NbSchemaBase\n"
        "class Incident(NbSchemaBase):\n"
        "    title: str\n"
        "save_output([Incident(title='late')])\n"
    )
    command = [sys.executable, "-c", code]
    printed = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    assert printed.split() == ["[", "{", '"title":', '"late"', "}", "]"]
