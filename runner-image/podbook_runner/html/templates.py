"""nbconvert's templates, compiled beforehand: an image keeps them, so that not every run compiles them again.

``python -m podbook_runner.html.templates`` writes them, once, where an image is built.
"""

import sys
from pathlib import Path

from jinja2 import FileSystemBytecodeCache
from jinja2.bccache import Bucket

from podbook_runner.html.exporter import make_exporter, warm_up

if sys.version_info >= (3, 12):
    from typing import override
else:
    from typing_extensions import override

__all__ = ["FOLDER", "CompiledTemplates", "main"]

FOLDER = Path(sys.prefix) / "share/podbook/templates"
"""Where they are, in images."""


class CompiledTemplates(FileSystemBytecodeCache):
    """Templates compiled before. One that has changed since, or was compiled by another Python, is compiled again and not kept."""

    @override
    def dump_bytecode(self, bucket: Bucket) -> None:
        """Keep nothing: the folder belongs to the image, and whoever could write there could run code in the renderer."""


def main(folder: Path = FOLDER) -> None:
    """Compile what a page needs."""
    folder.mkdir(parents=True, exist_ok=True)
    warm_up(make_exporter(FileSystemBytecodeCache(str(folder))))
    for file in folder.iterdir():
        file.chmod(0o644)  # they come from temporary files, which only their owner may read; a run is somebody else's


if __name__ == "__main__":
    main()
