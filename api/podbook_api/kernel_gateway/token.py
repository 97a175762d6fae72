"""The gateway's token, kept from the notebooks that run beside it as the same user."""

import contextlib
import ctypes
import os
import sys

from podbook_api.kernel_gateway.options import KernelGatewayApp

__all__ = ["hide_token", "split_token", "without_token"]

_PR_SET_DUMPABLE = 4
_TOKEN_OPTION = "--KernelGatewayApp.auth_token"  # noqa: S105 - its name
_TOKEN_VARIABLE = "PODBOOK_GATEWAY_TOKEN"  # noqa: S105 - its name
"""From the program to itself, and to nobody else."""


def without_token(arguments: list[str]) -> list[str]:
    """The arguments. Where a token is among them, the program starts itself again first, and is told it in another way.

    The arguments of a process can be read by everybody on the machine, and so by the notebook.
    """
    rest, token = split_token(arguments)
    if token is not None:
        environment = {**os.environ, _TOKEN_VARIABLE: token}
        os.execve(sys.executable, [sys.executable, "-m", "podbook", "kernelgateway", *rest], environment)  # noqa: S606 - itself
    told = os.environ.pop(_TOKEN_VARIABLE, None)
    return rest if told is None else [*rest, f"{_TOKEN_OPTION}={told}"]


def split_token(arguments: list[str]) -> tuple[list[str], str | None]:
    """The arguments without a token, and the token; None where there is none. Pure."""
    rest: list[str] = []
    token: str | None = None
    following = False
    for argument in arguments:
        name, equals, value = argument.partition("=")
        if following:
            token, following = argument, False
        elif name == _TOKEN_OPTION and equals:
            token = value
        elif name == _TOKEN_OPTION:
            following = True
        else:
            rest.append(argument)
    return rest, token


def hide_token(app: KernelGatewayApp) -> None:
    """Keep notebooks, which run as the same user, from reading the token in this process's environment and memory."""
    app.auth_token = str(app.auth_token)  # the option is read from the variable when it is first asked for
    os.environ.pop("KG_AUTH_TOKEN", None)
    if sys.platform.startswith("linux"):
        with contextlib.suppress(OSError, AttributeError):
            ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_DUMPABLE, 0, 0, 0, 0)
