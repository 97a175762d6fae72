"""What may be published: the checks of notebook, contract and assets that were sent. No I/O but the validator's worker."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field

from podbook_api.services.errors import InvalidAssetsError, InvalidContractError, InvalidNotebookError
from podbook_core.execution.profiles import Profiles
from podbook_core.notebook import file as notebook_file
from podbook_core.notebook.contract import Contract, ContractError, parse_contract
from podbook_core.notebook.file import inspect_notebook
from podbook_core.notebook.versions import Asset, Bundle, build_bundle
from podbook_core.schema.publication import check_contract, clashing_paths
from podbook_core.schema.validation import ContractValidator
from podbook_core.schema.violations import Violation

__all__ = ["Submission", "check_submission", "glob_matches"]

_MAX_PATH = 255
_CONTROL = re.compile(r"[\x00-\x1f\x7f\\]")


@dataclass(frozen=True, slots=True)
class Submission:
    """The parts as they were sent."""

    notebook: bytes
    contract: bytes | None = None
    assets: tuple[Asset, ...] = ()
    models: Mapping[str, bytes] = field(default_factory=dict)
    """JSON Schemas that the contract names as ``nbschema://<name>``, by name."""


def check_submission(name: str, submission: Submission, *, profiles: Profiles, validator: ContractValidator) -> Bundle:
    """Check everything that can be checked before a notebook runs.

    Raises:
        InvalidNotebookError, InvalidContractError, InvalidAssetsError: with the place and what would be right.
    """
    try:
        info = inspect_notebook(submission.notebook)
    except notebook_file.InvalidNotebookError as error:
        raise InvalidNotebookError(str(error)) from error
    contract = None
    if submission.contract is not None:
        try:
            contract = parse_contract(submission.contract, models=submission.models.get)
            check_contract(contract, info, profiles=profiles, validator=validator)
        except ContractError as error:
            raise _contract_problem(error.place, error.problem, "a contract as documented") from error
    _check_assets(contract, submission.assets)
    return build_bundle(name, submission.notebook, contract, submission.assets)


def _contract_problem(place: str, problem: str, expected: str) -> InvalidContractError:
    return InvalidContractError(
        f"the contract is not valid: {place or '(whole file)'}: {problem}", violations=[Violation(place, problem, expected)]
    )


def _check_assets(contract: Contract | None, assets: tuple[Asset, ...]) -> None:
    globs = () if contract is None else contract.assets
    errors = [error for asset in assets for error in _path_errors(asset.path)]
    paths = [asset.path for asset in assets]
    errors += [
        Violation(path=path, problem="was sent twice", expected="each file once")
        for path in sorted({p for p in paths if paths.count(p) > 1})
    ]
    errors += [
        Violation(path=path, problem=f"needs a folder where {above} is a file", expected="another name for one of them")
        for above, path in clashing_paths(paths)
    ]
    errors += [
        Violation(path=path, problem="is not matched by the contract's assets", expected="a file that one of its globs matches")
        for path in paths
        if not any(glob_matches(glob, path) for glob in globs)
    ]
    errors += [
        Violation(path=glob, problem="matches no file that was sent", expected="at least one file, sent as a part named assets")
        for glob in globs
        if not any(glob_matches(glob, path) for path in paths)
    ]
    if errors:
        text = "; ".join(f"{item.path}: {item.problem}" for item in errors[:3])
        raise InvalidAssetsError(f"the assets are not valid: {text}", violations=errors[:20])


def _path_errors(path: str) -> list[Violation]:
    if not path or len(path) > _MAX_PATH or _CONTROL.search(path) or path.startswith(("/", "~")):
        problem = True
    else:
        problem = any(part in ("", ".", "..") for part in path.split("/"))
    if not problem:
        return []
    expected = f"a relative path of at most {_MAX_PATH} characters, without .., backslashes and control characters"
    return [Violation(path=path[:_MAX_PATH], problem="is not a valid file name", expected=expected)]


def glob_matches(glob: str, path: str) -> bool:
    """Whether a glob matches a whole relative path: ``*`` and ``?`` stay in one folder, ``**`` spans any number of folders.

    Globs come from contracts, which are hostile input, so this takes no regular expression: its time is at most the product of the
    lengths, whatever the glob is.
    """
    patterns, names = glob.split("/"), path.split("/")
    reachable = {0}  # how many names the patterns so far may have used up
    for number, pattern in enumerate(patterns):
        last = number == len(patterns) - 1
        if pattern == "**":
            # As the last pattern it stands for the files below, so it takes at least one name.
            first = min(reachable, default=len(names) + 1) + (1 if last else 0)
            reachable = set(range(first, len(names) + 1))
        else:
            reachable = {used + 1 for used in reachable if used < len(names) and _segment_matches(pattern, names[used])}
    return len(names) in reachable


def _segment_matches(pattern: str, name: str) -> bool:
    """``*`` and ``?`` within one name: the greedy algorithm that goes back to the last star only."""
    at = used = 0
    star, resume = -1, 0
    while used < len(name):
        if at < len(pattern) and pattern[at] == "*":
            star, resume = at, used
            at += 1
        elif at < len(pattern) and pattern[at] in ("?", name[used]):
            at, used = at + 1, used + 1
        elif star >= 0:
            resume += 1
            at, used = star + 1, resume
        else:
            return False
    return all(char == "*" for char in pattern[at:])
