"""The example notebooks: well-formed, and true to their contracts when plain papermill runs them."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import jsonschema
import nbformat
import pytest
from PIL import Image

NOTEBOOKS = Path(__file__).parents[2] / "notebooks"
NAMES = sorted(path.name.removesuffix(".config.json") for path in NOTEBOOKS.glob("*.config.json"))
CONTRACT_KEYS = {"title", "description", "input", "output", "assets", "timeoutSeconds"}
SCRAP = "application/scrapbook.scrap.text+json"


def contract_of(name: str) -> dict[str, Any]:
    contract: dict[str, Any] = json.loads((NOTEBOOKS / f"{name}.config.json").read_text())
    return contract


class Run:
    """One run of a notebook by papermill, in a folder that has its assets and nothing else."""

    def __init__(self, folder: Path, name: str, parameters: dict[str, Any], image: Path | None = None) -> None:
        self.input_dir, self.output_dir, work = folder / "in", folder / "out", folder / "work"
        for path in (self.input_dir, self.output_dir, work):
            path.mkdir()
        for pattern in contract_of(name).get("assets", []):
            for asset in NOTEBOOKS.glob(pattern):
                target = work / asset.relative_to(NOTEBOOKS)
                target.parent.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(asset, target)
        if image is not None:
            shutil.copyfile(image, self.input_dir / "image")
        executed = folder / "executed.ipynb"
        command: list[str | Path] = [sys.executable, "-m", "papermill", "--no-progress-bar", NOTEBOOKS / f"{name}.ipynb", executed]
        options: list[str | Path] = ["--cwd", work, "--parameters_yaml", json.dumps(parameters)]
        environment = {
            **os.environ,
            "PODBOOK_INPUT_DIR": str(self.input_dir),
            "PODBOOK_OUTPUT_DIR": str(self.output_dir),
        }
        self.process = subprocess.run([*command, *options], check=False, capture_output=True, text=True, env=environment)
        self.cells: list[dict[str, Any]] = json.loads(executed.read_text())["cells"]

    @property
    def outputs(self) -> list[dict[str, Any]]:
        return [output for cell in self.cells for output in cell.get("outputs", [])]

    @property
    def saved(self) -> Any:
        """The saved output, checked against nothing yet."""
        assert self.process.returncode == 0, self.process.stderr
        scraps = [output["data"][SCRAP] for output in self.outputs if SCRAP in output.get("data", {})]
        assert [scrap["name"] for scrap in scraps] == ["nbschema_outputs"]
        return json.loads(scraps[0]["data"])

    @property
    def errors(self) -> list[tuple[str, str]]:
        """Name and text of the exceptions in the executed notebook."""
        return [(o["ename"], o["evalue"]) for o in self.outputs if o["output_type"] == "error"]

    @property
    def mime_types(self) -> set[str]:
        return {mime for output in self.outputs for mime in output.get("data", {})}


def test_every_notebook_has_a_contract() -> None:
    assert sorted(path.stem for path in NOTEBOOKS.glob("*.ipynb")) == NAMES
    assert {"analysis", "angles", "failing", "iris", "thumbnail"} <= set(NAMES)


@pytest.mark.parametrize("name", NAMES)
def test_the_contract_is_json_schema_with_working_examples(name: str) -> None:
    contract = contract_of(name)
    assert set(contract) <= CONTRACT_KEYS
    assert contract["title"]
    assert contract["description"]
    for side in ("input", "output"):
        schema = contract[side]
        jsonschema.Draft202012Validator.check_schema(schema)
        validator = jsonschema.Draft202012Validator(schema)
        assert schema["additionalProperties"] is False
        for example in schema.get("examples", []):
            validator.validate(example)
        for key, part in schema["properties"].items():
            examples = [*part.get("examples", []), *([part["default"]] if "default" in part else [])]
            for example in examples:
                jsonschema.validate(example, part, jsonschema.Draft202012Validator)
            assert part["description"], key
    for pattern in contract.get("assets", []):
        assert list(NOTEBOOKS.glob(pattern)), pattern


@pytest.mark.parametrize("name", NAMES)
def test_the_notebook_is_clean_and_declares_the_contract_s_parameters(name: str) -> None:
    document = json.loads((NOTEBOOKS / f"{name}.ipynb").read_text())
    nbformat.validate(document)
    assert (document["nbformat"], document["nbformat_minor"]) == (4, 5)
    assert document["metadata"]["kernelspec"]["name"] == "python3"
    code = [cell for cell in document["cells"] if cell["cell_type"] == "code"]
    assert all(cell["outputs"] == [] and cell["execution_count"] is None for cell in code)
    assert document["cells"][0]["cell_type"] == "markdown"

    (tagged,) = (cell for cell in code if "parameters" in cell["metadata"].get("tags", []))
    defaults: dict[str, Any] = {}
    exec("".join(tagged["source"]), defaults)  # noqa: S102 - our own cell of plain assignments
    defaults.pop("__builtins__")
    contract = contract_of(name)
    assert set(defaults) == set(contract["input"]["properties"])
    jsonschema.validate(defaults, contract["input"], jsonschema.Draft202012Validator)
    for key, part in contract["input"]["properties"].items():
        assert part.get("default", defaults[key]) == defaults[key]


@pytest.mark.parametrize(("customer", "needs_discount"), [("microsoft", False), ("contoso", True)])
def test_analysis_decides_on_a_discount(customer: str, needs_discount: bool, tmp_path: Path) -> None:
    run = Run(tmp_path, "analysis", {"customer_name": customer})
    assert run.saved == {"needs_discount": needs_discount}
    jsonschema.validate(run.saved, contract_of("analysis")["output"])
    assert "image/png" in run.mime_types


def test_analysis_of_an_unknown_customer_says_which_are_known(tmp_path: Path) -> None:
    run = Run(tmp_path, "analysis", {"customer_name": "initech"})
    ((ename, evalue),) = run.errors
    assert ename == "ValueError"
    assert "'initech'" in evalue
    assert "contoso, fabrikam" in evalue


def test_angles_convert_between_units(tmp_path: Path) -> None:
    run = Run(tmp_path, "angles", {"angle": 3.141592653589793, "unit": "radians"})
    assert run.saved == {"degrees": 180.0, "radians": 3.141592653589793, "gradians": 200.0}
    jsonschema.validate(run.saved, contract_of("angles")["output"])


def test_iris_predicts_the_species(tmp_path: Path) -> None:
    flower = {"sepal_length": 6.7, "sepal_width": 3.0, "petal_length": 5.8, "petal_width": 2.3}
    run = Run(tmp_path, "iris", flower)
    jsonschema.validate(run.saved, contract_of("iris")["output"])
    assert run.saved["species"] == "virginica"
    assert run.saved["probabilities"]["virginica"] > 0.9
    assert sum(run.saved["probabilities"].values()) == pytest.approx(1)


def test_thumbnail_makes_a_small_gray_picture(tmp_path: Path) -> None:
    run = Run(tmp_path, "thumbnail", {"width": 128, "grayscale": True}, NOTEBOOKS / "samples" / "hills.png")
    assert run.saved == {
        "file": "thumbnail.png",
        "width": 128,
        "height": 72,
        "original_width": 640,
        "original_height": 360,
    }
    jsonschema.validate(run.saved, contract_of("thumbnail")["output"])
    with Image.open(run.output_dir / "thumbnail.png") as thumbnail:
        assert (thumbnail.format, thumbnail.size, thumbnail.mode) == ("PNG", (128, 72), "L")


def test_thumbnail_without_a_picture_says_how_to_send_one(tmp_path: Path) -> None:
    run = Run(tmp_path, "thumbnail", {})
    ((ename, evalue),) = run.errors
    assert ename == "FileNotFoundError"
    assert "No input file 'image'" in evalue
    assert "curl -F image=@" in evalue


def test_failing_stops_in_the_middle_after_some_output(tmp_path: Path) -> None:
    run = Run(tmp_path, "failing", {"tolerance": 20})
    assert run.process.returncode != 0
    assert run.errors[-1] == (
        "ValueError",
        "Stock of item B-204 differs by -37 pieces (booked 120, counted 83); at most 20 are tolerated",
    )
    printed = "".join("".join(o["text"]) for o in run.outputs if o["output_type"] == "stream")
    assert "4 items to check, tolerance 20\nA-101: -2, fine\nA-117: +0, fine\n" in printed
    assert SCRAP not in run.mime_types
