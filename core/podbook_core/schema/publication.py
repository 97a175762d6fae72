"""What is checked before a notebook is published, the same over REST and from a folder."""

from collections.abc import Collection

from podbook_core.notebook.contract import Contract, ContractError
from podbook_core.notebook.file import NotebookInfo
from podbook_core.schema.validation import ContractValidator
from podbook_core.text.json_pointer import escape
from podbook_core.text.parameter_names import contract_names, names_no_variable_can_have, variable_rule

__all__ = ["check_contract", "clashing_paths"]


def check_contract(contract: Contract, notebook: NotebookInfo, *, profiles: Collection[str], validator: ContractValidator) -> None:
    """Refuse a contract that no call could keep.

    Args:
        contract: as parsed.
        notebook: the notebook it belongs to.
        profiles: names of what may be run on.
        validator: evaluates the schemas in a process that can be killed.

    Raises:
        ContractError: with place and problem.
    """
    for name in names_no_variable_can_have(contract_names(contract.input), notebook.language):
        place = f"/input/properties/{escape(name[:80])}"
        raise ContractError(place, f"cannot be the name of a variable; use {variable_rule(notebook.language)}")
    validator.check_contract(contract)
    if contract.profile is not None and contract.profile not in profiles:
        raise ContractError("/profile", f"there is no profile {contract.profile}; there are {', '.join(sorted(profiles))}")


def clashing_paths(paths: list[str]) -> list[tuple[str, str]]:
    """Pairs of paths of which the first would have to be a file and a folder at once: ``a`` and ``a/b``. Pure."""
    known = set(paths)
    found = []
    for path in sorted(known):
        parts = path.split("/")
        found += [(above, path) for end in range(1, len(parts)) if (above := "/".join(parts[:end])) in known]
    return found
