"""Access that ends with the operator's own credentials is signed again in time, for what runs and for nothing else."""

import asyncio
import base64
from collections.abc import Iterator
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from typing_extensions import override

from podbook_cluster.errors import ClusterUnavailableError
from podbook_core.execution.task import Task
from podbook_core.notebook.contract import Contract
from podbook_core.notebook.versions import VersionStore, build_bundle
from podbook_core.schema.validation import ContractValidator
from podbook_core.store.base import StoreUnavailableError
from podbook_core.store.directory import DirectoryStore
from podbook_core.text.names import secret_name
from podbook_operator.act.access import Signed
from podbook_operator.upkeep.renewal import Renewal, is_due

from .documents import NOW
from .simulation import FakeSigner, Life, World, moment_after

HOUR = timedelta(hours=1)
MINUTE = timedelta(minutes=1)


@pytest.mark.parametrize(
    ("signed", "end", "now", "due"),
    [
        (None, NOW + HOUR, NOW, True),
        (Signed(NOW, NOW + HOUR), NOW + HOUR, NOW + 59 * MINUTE, False),
        (Signed(NOW, NOW + HOUR), NOW + 2 * HOUR, NOW + 46 * MINUTE, True),
        (Signed(NOW + 43 * MINUTE, NOW + HOUR), NOW + 2 * HOUR, NOW + 46 * MINUTE, False),
        (Signed(NOW + 43 * MINUTE, NOW + HOUR), NOW + 2 * HOUR, NOW + 52 * MINUTE, True),
        (Signed(NOW, NOW + 15 * MINUTE), NOW + 16 * MINUTE, NOW + MINUTE, False),
        (Signed(NOW, NOW + 15 * MINUTE), NOW + 23 * MINUTE, NOW + 8 * MINUTE, True),
        (Signed(NOW, NOW - HOUR), NOW + HOUR, NOW, True),
    ],
    ids=["unknown", "nothing better", "better", "better but young", "older now", "short-lived", "short-lived half over", "late"],
)
def test_access_is_signed_again_when_that_lasts_longer_and_half_of_it_is_over(
    signed: Signed | None, end: datetime, now: datetime, due: bool
) -> None:
    assert is_due(signed, end, now) is due


@given(life=st.integers(300, 12 * 3600), launch=st.integers(0, 12 * 3600), look=st.integers(0, 59))
def test_with_a_look_a_minute_there_are_always_minutes_left(life: int, launch: int, look: int) -> None:
    """Credentials of any length, replaced as botocore does: by whoever needs them in their last quarter of an hour. Times in seconds."""
    quarter = 900
    end, signed = life, Signed(NOW, NOW)
    for now in (launch, *range(launch + look, launch + look + 200 * 60, 60)):
        if end - now < quarter:
            end = now + life
        moment, lasting = NOW + timedelta(seconds=now), NOW + timedelta(seconds=end)
        if now == launch or is_due(signed, lasting, moment):
            signed = Signed(moment, lasting)
        assert (signed.until - moment).total_seconds() >= min(life, quarter) / 2 - 60


class Cloudy(World):
    """A world whose API server may be away for reading."""

    away = False
    reads = 0

    @override
    async def get_execution(self, name: str) -> dict[str, Any]:
        self.reads += 1
        if self.away:
            raise ClusterUnavailableError("away")
        return await super().get_execution(name)


@pytest.fixture(scope="module")
def validator() -> Iterator[ContractValidator]:
    with ContractValidator() as shared:
        yield shared


@pytest.fixture
def world(tmp_path: Path) -> Cloudy:
    VersionStore(DirectoryStore(tmp_path)).publish(build_bundle("analysis", b"{}", Contract(), []), now=NOW)
    return Cloudy(tmp_path)


class Operator:
    """A life of the operator with its renewal, and credentials that last for an hour from when they are fetched."""

    def __init__(self, world: World, folder: Path, validator: ContractValidator, *, limit: int = 10) -> None:
        self.world = world
        self.life = Life(world, folder, validator, limit=limit)
        self.life.signer.end = world.now + HOUR
        self.renewal = Renewal(
            signer=self.life.signer, launcher=self.life.launcher, cluster=world, facts=self.life.facts, clock=lambda: world.now
        )
        self.life.watch()

    def work(self) -> None:
        asyncio.run(self.life.work())
        self.world.run_controllers()
        asyncio.run(self.life.work())

    def renew(self) -> int:
        return asyncio.run(self.renewal.renew())

    def new_credentials(self) -> datetime:
        """The present ones have a quarter of an hour left."""
        end = moment_after(self.world, 46 * 60) + HOUR
        self.life.signer.end = end
        return end


@pytest.fixture
def operator(world: Cloudy, tmp_path: Path, validator: ContractValidator) -> Iterator[Operator]:
    made = Operator(world, tmp_path, validator)
    yield made
    made.life.end()


def task_of(world: World, name: str) -> Task:
    """What the pods of an execution find mounted."""
    (data,) = world.secrets[secret_name(f"uid-{name}")]["data"].values()
    return Task.from_json(base64.b64decode(data))


def signed_until(world: World, name: str) -> str:
    return task_of(world, name).destination.fields["until"]


def test_what_runs_is_signed_again_once_for_each_set_of_credentials(operator: Operator, world: Cloudy) -> None:
    world.create_execution("one", parameters={"x": 1})
    world.create_execution("two")
    operator.work()
    before = task_of(world, "one")
    assert operator.renew() == 0
    for _ in range(2):
        end = operator.new_credentials()
        assert operator.renew() == 2
        assert operator.renew() == 0
        assert signed_until(world, "one") == signed_until(world, "two") == str(end)
    after = task_of(world, "one")
    assert (after.uid, after.parameters, after.notebook) == (before.uid, before.parameters, before.notebook)
    assert after.destination.prefix == before.destination.prefix


def test_credentials_that_stay_cost_nothing(operator: Operator, world: Cloudy) -> None:
    operator.life.signer.end = None
    world.create_execution("one")
    operator.work()
    world.fuse.writes.clear()
    world.reads = 0
    moment_after(world, 7 * 24 * 3600)
    assert operator.renew() == 0
    assert (world.reads, world.fuse.writes, operator.life.launcher.signed) == (0, [], {})


def test_a_restarted_operator_signs_everything_again_at_once(
    operator: Operator, world: Cloudy, tmp_path: Path, validator: ContractValidator
) -> None:
    world.create_execution("one")
    operator.work()
    moment_after(world, 60)
    second = Operator(world, tmp_path, validator)
    assert second.renew() == 1
    assert signed_until(world, "one") == str(world.now + HOUR)
    assert second.renew() == 0
    second.life.end()


def test_what_waits_or_has_ended_is_left_alone(world: Cloudy, tmp_path: Path, validator: ContractValidator) -> None:
    operator = Operator(world, tmp_path, validator, limit=1)
    world.create_execution("one")
    operator.work()
    world.create_execution("waits")
    operator.work()
    (pod,) = world.pods.values()
    world.end_pod(pod, 10, "CellFailed")
    asyncio.run(operator.life.reconciler.visit("one"))  # its end is not yet known
    operator.life.watch()
    asyncio.run(operator.life.reconciler.visit("one"))
    assert world.executions["one"]["status"]["phase"] == "Failed"
    operator.new_credentials()
    assert operator.renew() == 0
    assert world.secrets == {}
    assert operator.life.launcher.signed == {}
    operator.life.end()


def test_a_run_that_ends_meanwhile_gets_no_secret_any_more(operator: Operator, world: Cloudy) -> None:
    world.create_execution("one")
    operator.work()
    operator.new_credentials()
    world.secrets.clear()
    assert operator.renew() == 0
    assert world.secrets == {}
    world.reads = 0
    assert operator.renew() == 0
    assert world.reads == 0, "it is tried with the next credentials"


def test_an_api_server_that_is_away_delays_it_and_nothing_is_forgotten(operator: Operator, world: Cloudy) -> None:
    world.create_execution("one")
    world.create_execution("two")
    operator.work()
    end = operator.new_credentials()
    world.away = True
    with pytest.raises(ClusterUnavailableError):
        operator.renew()
    world.away = False
    assert operator.renew() == 2
    assert signed_until(world, "one") == signed_until(world, "two") == str(end)


def test_one_that_cannot_be_renewed_keeps_nobody_from_it(
    operator: Operator, world: Cloudy, caplog: pytest.LogCaptureFixture
) -> None:
    for name in ("changed", "malformed", "whole"):
        world.create_execution(name)
    operator.work()
    old = signed_until(world, "changed")
    # The API server's rule for immutable specs has a hole where values are free-form.
    world.change_spec("changed", parameters={"x": 2})
    world.executions["malformed"]["spec"]["notebook"] = "no object"
    end = operator.new_credentials()
    assert operator.renew() == 1
    assert (signed_until(world, "changed"), signed_until(world, "malformed"), signed_until(world, "whole")) == (old, old, str(end))
    assert "the parameters changed" in caplog.text
    caplog.clear()
    assert operator.renew() == 0
    assert "the parameters changed" not in caplog.text, "said once for each set of credentials"


def test_a_run_whose_profile_is_gone_keeps_its_access(operator: Operator, world: Cloudy) -> None:
    world.create_execution("one")
    operator.work()
    operator.life.launcher._profiles = {}
    end = operator.new_credentials()
    assert operator.renew() == 1
    assert signed_until(world, "one") == str(end)


class Penniless(FakeSigner):
    """No credentials are available. Tells when it has been asked."""

    def __init__(self, asked: asyncio.Event) -> None:
        super().__init__()
        self._asked, self._loop = asked, asyncio.get_running_loop()

    @override
    def credentials_end(self) -> datetime | None:
        self._loop.call_soon_threadsafe(self._asked.set)
        raise StoreUnavailableError("no new ones are available")


async def test_it_goes_on_when_there_are_no_credentials(operator: Operator, caplog: pytest.LogCaptureFixture) -> None:
    asked = asyncio.Event()
    life = operator.life
    renewal = Renewal(
        signer=Penniless(asked), launcher=life.launcher, cluster=life.world, facts=life.facts, clock=lambda: life.world.now
    )
    task = asyncio.create_task(renewal.run())
    async with asyncio.timeout(10):
        await asked.wait()
        while "renewal of signed access is postponed for a minute: no new ones are available" not in caplog.text:  # noqa: ASYNC110 - a log sets no event
            await asyncio.sleep(0.01)
    assert not task.done()
    task.cancel()
