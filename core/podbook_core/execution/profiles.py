"""Profiles: what an administrator offers to run on. Callers pick one by name and never see a pod template."""

import json
import math
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Annotated, Any

from pydantic import BeforeValidator, Field, TypeAdapter, ValidationError

from podbook_core.execution.model import Document
from podbook_core.text.model_errors import problems

__all__ = ["DEFAULT_PROFILE", "Profile", "ProfileAccess", "Profiles", "ProfilesError", "parse_profiles", "read_profiles_file"]

DEFAULT_PROFILE = "default"


class ProfilesError(Exception):
    """A file of profiles cannot be used; the message is one line that names the file, the place and the problem."""


def _amount(value: Any) -> Any:
    # Kubernetes takes `cpu: 2` for "2", and so do people who write YAML. Helm hands on every number as a float.
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        return value
    return str(int(value)) if value == int(value) else str(value)


Amount = Annotated[str, BeforeValidator(_amount)]
"""A quantity as in Kubernetes, e.g. ``500m`` or ``2Gi``; a plain number is taken for its text."""


class ProfileAccess(Document):
    """Who may use a profile; an empty list means everyone or everything."""

    keys: Annotated[list[str], Field(description="Ids of API keys.")] = []
    notebooks: Annotated[list[str], Field(description="Names of notebooks.")] = []


class Profile(Document):
    """One profile. The Kubernetes parts are copied into the pod as they are; embedded mode reads only times and memory."""

    image: Annotated[str | None, Field(description="Container image of the runner.")] = None
    image_pull_policy: Annotated[str, Field(description="As in Kubernetes.")] = "IfNotPresent"
    image_pull_secrets: Annotated[list[str], Field(description="Names of pull secrets.")] = []
    resources: Annotated[dict[str, dict[str, Amount]], Field(description="requests and limits, as in Kubernetes.")] = {}
    node_selector: Annotated[dict[str, str], Field(description="As in Kubernetes.")] = {}
    tolerations: Annotated[list[dict[str, Any]], Field(description="As in Kubernetes.")] = []
    env_from_secrets: Annotated[list[str], Field(description="Secrets whose keys become the notebook's environment.")] = []
    runtime_class_name: Annotated[str | None, Field(description="As in Kubernetes, e.g. gvisor.")] = None
    priority_class_name: Annotated[str | None, Field(description="As in Kubernetes.")] = None
    service_account_name: Annotated[str | None, Field(description="As in Kubernetes; its token is never mounted.")] = None
    queue: Annotated[str | None, Field(description="Kueue LocalQueue; the Job is then created suspended.")] = None
    working_volume: Annotated[Amount, Field(description="Size limit of the working directory.")] = "2Gi"
    timeout_seconds: Annotated[int, Field(ge=1, le=259200, description="Default maximum run time.")] = 600
    max_timeout_seconds: Annotated[
        int, Field(ge=1, le=259200, description="Upper limit of the run time that a contract or a caller may set.")
    ] = 259200
    memory_limit_bytes: Annotated[int | None, Field(ge=1, description="Memory limit of a run in embedded mode.")] = None
    max_active: Annotated[
        int | None,
        Field(
            ge=1, description="Maximum number of executions that run with this profile at a time. Defaults to PODBOOK_MAX_ACTIVE."
        ),
    ] = None
    allowed: ProfileAccess = ProfileAccess()

    def permits(self, *, key_id: str | None, notebook: str) -> bool:
        """Whether this caller may run this notebook with it."""
        keys, notebooks = self.allowed.keys, self.allowed.notebooks
        return (not keys or key_id in keys) and (not notebooks or notebook in notebooks)


Profiles = Mapping[str, Profile]
"""Profiles by name."""


def parse_profiles(raw: Any) -> dict[str, Profile]:
    """Profiles from plain data (chart values, a file); ``default`` is added when absent.

    Raises:
        pydantic.ValidationError: the data is not of this shape.
    """
    profiles = TypeAdapter(dict[str, Profile]).validate_python(raw or {})
    return {DEFAULT_PROFILE: Profile(), **profiles}


def read_profiles_file(file: Path | None, *, load: Callable[[bytes], Any] = json.loads) -> dict[str, Profile]:
    """The profiles of a file; without a file ``default`` alone.

    Args:
        file: where they are.
        load: reads its format, and raises ValueError for what is not of that format.

    Raises:
        ProfilesError: the file cannot be read or is not valid.
    """
    if file is None:
        return parse_profiles(None)
    try:
        return parse_profiles(load(file.read_bytes()))
    except OSError as error:
        raise ProfilesError(f"the profiles file {file} cannot be read: {error.strerror or error}") from error
    except ValidationError as error:
        raise ProfilesError(f"the profiles file {file} is not valid: {problems(error, whole='the whole file')}") from error
    except (ValueError, RecursionError) as error:
        raise ProfilesError(f"the profiles file {file} cannot be parsed: {error}") from error
