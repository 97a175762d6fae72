"""Podbook's own door: the whole of the API under ``/v1``."""

from podbook_api.doors.door import Door
from podbook_api.doors.native import executions, notebooks, results, run
from podbook_api.doors.native.openapi import complete
from podbook_api.doors.native.paths import PREFIX
from podbook_api.doors.native.problems import problem_answer
from podbook_api.doors.requests.credentials import BEARER, X_API_KEY

__all__ = ["NATIVE"]

NATIVE = Door(
    name="native",
    paths=(PREFIX,),
    problem=problem_answer,
    credentials=(BEARER, X_API_KEY),
    routers=(notebooks.router, executions.router, run.router, results.router),
    openapi=complete,
)
