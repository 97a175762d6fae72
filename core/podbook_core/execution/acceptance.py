"""May this execution run, and as what: the one check behind every door.

The API asks before it creates an execution, so that a caller gets 422; operator and supervisor ask again when they accept one, since
``kubectl apply`` comes past no API. What was accepted is fixed: this version, these parameters, this time-out.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from podbook_core.execution.deadlines import queue_timeout, start_timeout
from podbook_core.execution.model import MAX_PARAMETERS_BYTES, Resolved, Spec
from podbook_core.execution.profiles import DEFAULT_PROFILE, Profile, Profiles
from podbook_core.execution.reasons import Reason
from podbook_core.notebook.versions import Version
from podbook_core.schema.validation import ValidationStalledError
from podbook_core.schema.violations import Violation
from podbook_core.text.digests import canonical_json, sha256_hex
from podbook_core.text.json_pointer import escape
from podbook_core.text.parameter_names import names_no_variable_can_have, variable_rule

__all__ = ["Accepted", "Limits", "ParameterCheck", "Refused", "accept", "limits"]


class ParameterCheck(Protocol):
    """What compares parameters with a contract: :class:`podbook_core.schema.validation.ContractValidator` does."""

    def violations(self, schema: Mapping[str, Any] | bool | None, value: Any) -> list[Violation]:
        """What a value breaks of a schema. Raises ``ValidationStalledError`` and ``ValidationBusyError``."""
        ...


@dataclass(frozen=True, slots=True)
class Limits:
    """Every clock and count of an execution, with defaults filled in. Times in seconds."""

    timeout: int
    queue_timeout: int
    start_timeout: int
    retries: int


@dataclass(frozen=True, slots=True)
class Accepted:
    """It may run as this."""

    version: Version
    profile: Profile
    resolved: Resolved
    limits: Limits


@dataclass(frozen=True, slots=True)
class Refused:
    """It may not run. ``violations`` are there when the parameters are at fault."""

    reason: Reason
    message: str
    violations: tuple[Violation, ...] = ()


def limits(spec: Spec, version: Version, profile: Profile) -> Limits:
    """What holds for an execution: its own wish, else the contract's, else the profile's. Pure."""
    wanted = spec.timeout_seconds or version.contract.timeout_seconds or profile.timeout_seconds
    retries = spec.retries if spec.retries is not None else version.contract.retries
    return Limits(
        timeout=min(wanted, profile.max_timeout_seconds),
        queue_timeout=queue_timeout(spec),
        start_timeout=start_timeout(spec),
        retries=retries or 0,
    )


def accept(spec: Spec, version: Version | None, profiles: Profiles, validator: ParameterCheck) -> Accepted | Refused:
    """Decide on a spec whose notebook's version has been looked up.

    Raises:
        ValidationBusyError: nothing could be decided; trying again later may help.
    """
    if version is None:
        wanted = f"{spec.notebook.name}@{spec.notebook.version[:12]}" if spec.notebook.version else spec.notebook.name
        return Refused(Reason.NOTEBOOK_NOT_FOUND, f"no notebook {wanted} is published")
    name = spec.profile or version.contract.profile or DEFAULT_PROFILE
    profile = profiles.get(name)
    if profile is None:
        return Refused(Reason.CONFIGURATION_ERROR, f"there is no profile {name}; there are {', '.join(sorted(profiles))}")
    if not profile.permits(key_id=spec.submitted_by, notebook=version.name):
        return Refused(Reason.CONFIGURATION_ERROR, f"profile {name} is not offered to this caller for notebook {version.name}")
    try:
        data = canonical_json(spec.parameters)
    except UnicodeEncodeError:
        return Refused(Reason.INVALID_PARAMETERS, "the parameters contain half of a surrogate pair, which UTF-8 cannot encode")
    except ValueError:
        return Refused(Reason.INVALID_PARAMETERS, "the parameters contain NaN or an infinity, which JSON cannot represent")
    except RecursionError:
        return Refused(Reason.INVALID_PARAMETERS, "the parameters are nested too deeply")
    if len(data) > MAX_PARAMETERS_BYTES:
        return Refused(
            Reason.INVALID_PARAMETERS, f"the parameters are {len(data)} bytes; at most {MAX_PARAMETERS_BYTES} are allowed"
        )
    # A request is the notebook's own to judge; parameters say nothing then.
    violations = [] if spec.request is not None else check_parameters(version, spec.parameters, validator)
    if violations:
        text = "; ".join(item.sentence() for item in violations[:5])
        return Refused(Reason.INVALID_PARAMETERS, text, tuple(violations))
    chosen = limits(spec, version, profile)
    resolved = Resolved(
        version=version.version,
        parameters_digest=sha256_hex(data),
        image=profile.image,
        profile=name,
        timeout_seconds=chosen.timeout,
    )
    return Accepted(version, profile, resolved, chosen)


def check_parameters(version: Version, parameters: Mapping[str, Any], validator: ParameterCheck) -> list[Violation]:
    """What the parameters break of the input contract; a contract that stalls counts as one violation.

    Names that no language could assign to are refused as well: papermill writes them into code as they are.
    """
    odd = names_no_variable_can_have(parameters, version.language)
    if odd:
        rule = variable_rule(version.language)
        return [Violation(f"/{escape(name[:80])}", "cannot be the name of a variable", rule) for name in odd[:20]]
    try:
        return validator.violations(version.contract.input, dict(parameters))
    except ValidationStalledError as error:
        return [Violation("", f"could not be checked: {error}", "a contract that can be checked; ask the notebook's author")]
