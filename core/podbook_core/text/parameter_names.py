"""Which names parameters can have: papermill writes them into code as they are, so each must be a variable of the notebook's language. Pure."""

import keyword
import re
from collections.abc import Iterable, Mapping
from typing import Any

__all__ = ["contract_names", "is_variable", "names_no_variable_can_have", "variable_rule"]

_PLAIN = re.compile(r"[A-Za-z][A-Za-z0-9_]*")
_WITH_DOTS = re.compile(r"[A-Za-z.][A-Za-z0-9_.]*")
_DOTTED = ("r",)
"""Languages whose variables may have dots in their names."""


def is_variable(name: str, language: str | None) -> bool:
    """Whether a variable of that language can have this name.

    Args:
        name: the parameter.
        language: of the notebook, in lower case; None where it is not known, and then the rules of any language will do.
    """
    if language is None:
        return is_variable(name, "python") or is_variable(name, "r")
    if language == "python":
        return name.isidentifier() and not keyword.iskeyword(name)
    return (_WITH_DOTS if language in _DOTTED else _PLAIN).fullmatch(name) is not None


def variable_rule(language: str | None) -> str:
    """What a name must look like, for messages."""
    if language in (None, "python"):
        return "a Python variable name: letters, digits and _, not starting with a digit, and not a keyword such as class or from"
    return "letters, digits and _, starting with a letter"


def names_no_variable_can_have(names: Iterable[str], language: str | None) -> list[str]:
    """Those of the names that no variable of the language can have, in their order."""
    return [name for name in names if not is_variable(name, language)]


def contract_names(schema: Mapping[str, Any] | bool | None) -> list[str]:
    """The parameter names an input schema speaks of at its top: ``properties`` and ``required``, each once."""
    if not isinstance(schema, Mapping):
        return []
    properties, required = schema.get("properties"), schema.get("required")
    named = [*(properties if isinstance(properties, Mapping) else ()), *(required if isinstance(required, list) else ())]
    return list(dict.fromkeys(name for name in named if isinstance(name, str)))
