"""Settings as environment variables: how they are called, and what is said of those that are wrong. Pure."""

from pydantic import ValidationError

__all__ = ["PREFIX", "wrong_variables"]

PREFIX = "PODBOOK_"
"""What every program's variables begin with; the parts of a nested one are joined by ``__``."""


def wrong_variables(error: ValueError) -> list[str]:
    """One line for each setting that cannot be used: its variable, and why. No value is repeated: it could be a secret.

    Args:
        error: pydantic's, or pydantic-settings' own when a variable that holds JSON holds none.
    """
    if not isinstance(error, ValidationError):
        return [str(error)]
    return [
        f"{PREFIX}{'__'.join(str(part) for part in item['loc']).upper()}: {item['msg']}"
        for item in error.errors(include_url=False, include_context=False, include_input=False)
    ]
