"""Importing ``podbook`` in a notebook loads nothing but the standard library."""

import json
import subprocess
import sys

import pytest

import podbook


def modules_loaded_by(statement: str) -> set[str]:
    """Top-level names of the modules, outside of the standard library, that a fresh interpreter loads for a statement."""
    code = (
        "import json, sys\n"
        "before = set(sys.modules)\n"
        f"{statement}\n"
        "names = {name.partition('.')[0] for name in set(sys.modules) - before}\n"
        "print(json.dumps(sorted(names - set(sys.stdlib_module_names))))"
    )
    run = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    return set(json.loads(run.stdout.splitlines()[-1]))


def test_importing_and_saving_loads_the_standard_library_only() -> None:
    assert modules_loaded_by("from podbook import save_output; save_output({'a': 1})") == {"podbook"}


def test_the_measure_notices_a_foreign_module() -> None:
    assert "numpy" in modules_loaded_by("import numpy")


def test_both_names_are_public() -> None:
    assert podbook.__all__ == ["Client", "save_output"]


def test_an_unknown_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="module 'podbook' has no attribute 'save'"):
        _ = podbook.save
