"""Lets notebooks written for jupyrest run unchanged: ``from jupyrest import save_output``.

This is not the jupyrest package. It is found only where that one is not installed, because its folder comes after
site-packages on the path; where the real package is installed, the real one is imported.
"""

from typing import Any

from podbook.output import save_output as _save_output

__all__ = ["save_output"]


def save_output(data: Any, **glue_options: Any) -> None:
    """Save the output of this notebook, see :func:`podbook.save_output`.

    Args:
        data: The output itself, or a string that holds it as JSON text.
        glue_options: What jupyrest hands on to ``scrapbook.glue``, such as ``display=True``. Accepted, and without
            effect: the output is saved in the same way with each of them.

    Raises:
        ValueError: the string is not valid JSON, or the value is not one that JSON knows.
        TypeError: the output holds a value that JSON cannot represent.
    """
    del glue_options
    _save_output(data)
