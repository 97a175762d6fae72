"""The image helper of the thumbnail example, apart from its notebook."""

import importlib.util
from pathlib import Path
from types import ModuleType

import pytest
from PIL import Image

SOURCE = Path(__file__).parents[2] / "notebooks" / "imaging.py"


@pytest.fixture
def imaging() -> ModuleType:
    """The module, loaded from its file: assets are not installed."""
    spec = importlib.util.spec_from_file_location("imaging", SOURCE)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_a_thumbnail_keeps_proportions_and_never_grows(imaging: ModuleType) -> None:
    picture = Image.new("RGB", (400, 100))
    assert imaging.make_thumbnail(picture, 200, grayscale=False).size == (200, 50)
    assert imaging.make_thumbnail(picture, 900, grayscale=False).size == (400, 100)
    assert imaging.make_thumbnail(Image.new("RGB", (2000, 1)), 16, grayscale=False).size == (16, 1)


@pytest.mark.parametrize(
    ("mode", "grayscale", "expected"),
    [("RGB", False, "RGB"), ("RGB", True, "L"), ("RGBA", False, "RGBA"), ("RGBA", True, "LA"), ("P", False, "RGB")],
)
def test_transparency_survives(imaging: ModuleType, mode: str, grayscale: bool, expected: str) -> None:
    assert imaging.make_thumbnail(Image.new(mode, (40, 40)), 16, grayscale=grayscale).mode == expected


def test_a_photo_is_turned_upright(imaging: ModuleType, tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6  # orientation: the camera was held on its side
    Image.new("RGB", (40, 20)).save(tmp_path / "image", "JPEG", exif=exif)
    assert imaging.open_image(tmp_path / "image").size == (20, 40)


def test_bad_files_are_refused_in_words(imaging: ModuleType, tmp_path: Path) -> None:
    path = tmp_path / "image"
    with pytest.raises(FileNotFoundError, match="No input file 'image'"):
        imaging.open_image(path)
    path.write_text("not a picture")
    with pytest.raises(ValueError, match="is not an image that can be read"):
        imaging.open_image(path)
    Image.effect_noise((200, 200), 50).save(path, "PNG")
    path.write_bytes(path.read_bytes()[:5000])
    with pytest.raises(ValueError, match="is a damaged image"):
        imaging.open_image(path)


def test_an_image_of_too_many_pixels_is_refused_before_it_is_unfolded(imaging: ModuleType, tmp_path: Path) -> None:
    Image.new("1", (8000, 7000)).save(tmp_path / "image", "PNG")
    with pytest.raises(ValueError, match="56,000,000 pixels"):
        imaging.open_image(tmp_path / "image")
