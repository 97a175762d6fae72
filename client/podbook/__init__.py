"""What people import: ``save_output`` inside a notebook, ``Client`` outside of one.

Importing this package needs the standard library only, so that a notebook starts as fast with it as without it. ``Client``
is loaded on first use, with the HTTP library it needs.
"""

from typing import TYPE_CHECKING, Any

from podbook.output import save_output

if TYPE_CHECKING:
    from podbook.client import Client

__all__ = ["Client", "save_output"]


def __getattr__(name: str) -> Any:
    """Load ``Client`` on first use (PEP 562).

    Raises:
        AttributeError: the package has no such name.
        ImportError: the libraries of the client are not installed.
    """
    if name != "Client":
        raise AttributeError(f"module 'podbook' has no attribute {name!r}")
    try:
        from podbook.client import Client  # noqa: PLC0415 - lazy on purpose: notebooks must not pay for httpx
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] == "podbook":
            raise
        raise ImportError(f"podbook.Client needs {error.name!r}; install it with: pip install 'podbook[client]'") from error
    return Client
