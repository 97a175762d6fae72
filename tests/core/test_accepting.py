"""An execution is accepted once; from then on what was accepted is compared, and never checked again."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from podbook_core.execution.acceptance import Accepted, Refused
from podbook_core.execution.accepting import Accepting
from podbook_core.execution.model import NotebookExecution, NotebookRef, Resolved
from podbook_core.execution.profiles import Profile
from podbook_core.execution.reasons import Reason
from podbook_core.execution.transitions import Change, advanced
from podbook_core.notebook.contract import Contract
from podbook_core.notebook.versions import VersionStore, build_bundle
from podbook_core.schema.violations import Violation
from podbook_core.store.directory import DirectoryStore

from .builders import NOW, execution

PROFILES = {"default": Profile(image="runner:1", timeout_seconds=60)}
NOTEBOOK = b'{"cells": [], "metadata": {}, "nbformat": 4, "nbformat_minor": 5}'


class Counting:
    """Finds nothing wrong, and counts how often it was asked."""

    def __init__(self) -> None:
        self.asked = 0

    def violations(self, schema: Mapping[str, Any] | bool | None, value: Any) -> list[Violation]:  # noqa: ARG002
        self.asked += 1
        return []


@pytest.fixture
def store(tmp_path: Path) -> DirectoryStore:
    store = DirectoryStore(tmp_path)
    bundle = build_bundle("analysis", NOTEBOOK, Contract(retries=2), ())
    VersionStore(store).publish(bundle, now=NOW)
    return store


def accepted(accepting: Accepting) -> NotebookExecution:
    new = execution(notebook=NotebookRef(name="analysis"), parameters={"x": 1})
    decision = accepting.accept(new.spec, PROFILES)
    assert isinstance(decision, Accepted)
    return advanced(new, Change(Reason.QUEUED, resolved=decision.resolved), NOW)


def resolved(item: NotebookExecution) -> Resolved:
    assert item.status.resolved is not None
    return item.status.resolved


def test_what_was_accepted_is_confirmed_without_another_check(store: DirectoryStore) -> None:
    validator = Counting()
    accepting = Accepting(store, validator)
    item = accepted(accepting)
    again = accepting.confirm(item, PROFILES)
    assert isinstance(again, Accepted)
    assert (again.resolved, again.version.version, again.limits.retries) == (item.status.resolved, resolved(item).version, 2)
    assert validator.asked == 1


def test_the_accepted_version_runs_whatever_is_published_later(store: DirectoryStore) -> None:
    accepting = Accepting(store, Counting())
    item = accepted(accepting)
    VersionStore(store).publish(build_bundle("analysis", NOTEBOOK + b" ", None, ()), now=NOW)
    again = accepting.confirm(item, PROFILES)
    assert isinstance(again, Accepted)
    assert again.version.version == resolved(item).version


def test_parameters_that_were_changed_afterwards_do_not_run(store: DirectoryStore) -> None:
    accepting = Accepting(store, Counting())
    answer = accepting.confirm(accepted(accepting).with_parameters({"x": 2}), PROFILES)
    assert isinstance(answer, Refused)
    assert answer.reason is Reason.INVALID_PARAMETERS


def test_a_version_or_profile_that_is_gone_or_damaged_by_then_is_named(store: DirectoryStore) -> None:
    item = accepted(Accepting(store, Counting()))
    gone = Accepting(store, Counting()).confirm(item, {})
    assert isinstance(gone, Refused)
    assert "no longer offered" in gone.message
    key = f"notebooks/analysis/versions/{resolved(item).version}/manifest.json"
    store.put(key, b"{")
    damaged = Accepting(store, Counting()).confirm(item, PROFILES)
    assert isinstance(damaged, Refused)
    assert damaged.reason is Reason.INVALID_NOTEBOOK
    assert Accepting(store, Counting()).retries(item) == 0
    store.delete(key)
    missing = Accepting(store, Counting()).confirm(item, PROFILES)
    assert isinstance(missing, Refused)
    assert missing.reason is Reason.NOTEBOOK_NOT_FOUND


def test_what_was_never_accepted_cannot_be_confirmed(store: DirectoryStore) -> None:
    answer = Accepting(store, Counting()).confirm(execution(), PROFILES)
    assert isinstance(answer, Refused)
