"""One installation of the chart, shared by the tests of the session."""

import os
from collections.abc import Iterator

import pytest

from .environment import Environment
from .faults import Evictions
from .installation import Installation
from .samples import SAMPLES


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """What judges the whole session comes last: which rights were used, who was restarted."""
    items.sort(key=lambda item: item.path.name == "test_rights.py")


@pytest.fixture(scope="session")
def environment() -> Environment:
    """The cluster under test."""
    return Environment.read()


@pytest.fixture(scope="session")
def podbook(environment: Environment) -> Iterator[Installation]:
    """Podbook with the sample notebooks published; ``KEEP=1`` leaves it there, for working on a test."""
    installation = Installation(environment, "podbook-e2e")
    installation.install()
    try:
        for name, sample in SAMPLES.items():
            installation.publish(name, sample)
        yield installation
    finally:
        installation.close()
        if not os.environ.get("KEEP"):
            installation.remove()


@pytest.fixture(scope="session")
def hunted(podbook: Installation) -> Iterator[Evictions]:
    """A run whose every pod is evicted. The cluster waits longer before each new one, so its end is minutes away.

    Whoever wants to see the end asks for it late, whoever comes earlier and takes nothing away lets it begin.
    """
    name = podbook.submit("sleeping", {"seconds": 600}, profile="lean")["id"]
    with Evictions(podbook, name) as evictions:
        yield evictions
    podbook.discard(name)
