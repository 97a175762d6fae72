"""Helper of thumbnail.ipynb: the part of the work that is worth having in a module of its own."""

from pathlib import Path

from PIL import Image, ImageOps, UnidentifiedImageError

# A small file can unfold to gigabytes of pixels; 50 megapixels is more than most cameras take.
MAX_PIXELS = 50_000_000


def open_image(path: Path) -> Image.Image:
    """Read an image completely, turned the way its camera meant it.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: the file is not an image that Pillow reads, is damaged, or has more than 50 megapixels.
    """
    if not path.is_file():
        raise FileNotFoundError(
            f"No input file {path.name!r}. Send the picture as a file of that name, for example: curl -F {path.name}=@photo.jpg …"
        )
    try:
        with Image.open(path) as image:
            pixels = image.width * image.height
            if pixels > MAX_PIXELS:
                raise ValueError(f"The image has {pixels:,} pixels; at most {MAX_PIXELS:,} are accepted.")
            return ImageOps.exif_transpose(image)
    except (UnidentifiedImageError, Image.DecompressionBombError) as error:
        raise ValueError(f"The input file {path.name!r} is not an image that can be read: {error}") from error
    except OSError as error:
        raise ValueError(f"The input file {path.name!r} is a damaged image: {error}") from error


def make_thumbnail(image: Image.Image, width: int, *, grayscale: bool) -> Image.Image:
    """A copy of the image that is at most `width` pixels wide, with the same proportions. Never enlarges."""
    width = min(width, image.width)
    height = max(1, round(image.height * width / image.width))
    transparent = image.has_transparency_data
    colours = image.convert("RGBA" if transparent else "RGB")
    small = colours.resize((width, height), Image.Resampling.LANCZOS)
    if grayscale:
        small = small.convert("LA" if transparent else "L")
    return small
