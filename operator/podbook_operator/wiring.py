"""Wiring: settings, store, cluster, watches and workers become one running operator."""

import asyncio
import contextlib
import logging
from datetime import UTC, datetime
from typing import Any

import kopf

from podbook_core.schema.validation import ContractValidator
from podbook_core.store.base import StoreUnavailableError
from podbook_core.store.s3 import S3Store
from podbook_operator.act.kube_events import EventRecorder
from podbook_operator.act.launch import Launcher
from podbook_operator.act.reconcile import Reconciler
from podbook_operator.act.storage import Storage
from podbook_operator.act.worker import Worker
from podbook_operator.cluster import KubernetesCluster
from podbook_operator.decide.situation import Policy
from podbook_operator.facts.cache import Facts
from podbook_operator.facts.workqueue import WorkQueue
from podbook_operator.metrics import Metrics
from podbook_operator.settings import Settings, read_profiles
from podbook_operator.upkeep.renewal import Renewal
from podbook_operator.upkeep.resync import Resync
from podbook_operator.upkeep.sweeper import Living, Sweeper, living
from podbook_operator.watch.handlers import WATCHED, register
from podbook_operator.watch.health import Health, live_watchers
from podbook_operator.watch.kopf_settings import kopf_settings
from podbook_operator.watch.login import login

__all__ = ["policy_from", "run"]

_LOGGER = logging.getLogger(__name__)


def policy_from(settings: Settings) -> Policy:
    """The settings that decisions depend on."""
    return Policy(
        publish_timeout=settings.publish_timeout_seconds,
        ttl_succeeded=settings.ttl_succeeded_seconds,
        ttl_failed=settings.ttl_failed_seconds,
        job_ttl=settings.job_ttl_seconds,
        configuration_grace=settings.configuration_grace_seconds,
        progress_interval=settings.progress_seconds,
    )


class _Operator:
    """What runs beside kopf in its loop: the workers, the resync, and what they share."""

    def __init__(self, settings: Settings, cluster: KubernetesCluster, store: S3Store, validator: ContractValidator) -> None:
        profiles = read_profiles(settings)
        self.cluster = cluster
        self.metrics, self.queue = Metrics(), WorkQueue()
        self.facts = Facts(settings.max_active, profiles)
        self.events = EventRecorder(cluster)
        self.storage = Storage(store, validator)
        launcher = Launcher(cluster, self.storage, store, profiles, settings.publish_timeout_seconds)
        self.reconciler = Reconciler(
            facts=self.facts,
            cluster=cluster,
            storage=self.storage,
            launcher=launcher,
            profiles=profiles,
            policy=policy_from(settings),
            events=self.events,
            metrics=self.metrics,
        )
        self.resync = Resync(
            cluster=cluster, facts=self.facts, queue=self.queue, gone=self.reconciler.forget, seconds=settings.resync_seconds
        )
        self.renewal = Renewal(signer=store, launcher=launcher, cluster=cluster, facts=self.facts, clock=lambda: datetime.now(UTC))
        self.sweeper = Sweeper(store, alive=self.alive, days=settings.retention_days, clock=lambda: datetime.now(UTC))
        self.health = Health(WATCHED, self.queue.oldest)
        self.synced = asyncio.Event()
        self.metrics.depth.set_function(lambda: len(self.queue))
        self.metrics.oldest.set_function(self.queue.oldest)
        self.metrics.waiting.set_function(lambda: self.facts.places.waiting)
        self.metrics.active.set_function(lambda: self.facts.places.taken)
        self.metrics.known.set_function(lambda: len(self.facts.entries))

    async def probe(self) -> dict[str, Any]:
        """What /healthz answers."""
        tasks = [task.get_name() for task in asyncio.all_tasks()]
        problems = self.health.problems(tasks)
        if problems:
            # Any other exception would be tried again for a minute, and the probe would hang instead of failing.
            raise kopf.PermanentError("; ".join(problems))
        return {
            "watching": live_watchers(WATCHED, tasks),
            "known": len(self.facts.entries),
            "active": self.facts.places.taken,
            "waiting": self.facts.places.waiting,
            "due": len(self.queue),
        }

    async def alive(self) -> list[Living]:
        """Every execution there is, from the API server itself."""
        return [living(body) for body in await self.cluster.list_executions()]

    async def work(self) -> None:
        """One worker, until cancelled."""
        await self.synced.wait()
        await Worker(self.queue, self.facts, self.reconciler, self.metrics).run()

    async def renew(self) -> None:
        """Keep the access of all that runs from ending with the store's credentials."""
        await self.synced.wait()
        await self.renewal.run()

    async def compare(self) -> None:
        """Correct what the watches did not tell, again and again."""
        await self.synced.wait()
        await self.resync.run()


async def run(settings: Settings, *, stop: asyncio.Event | None = None) -> None:
    """Run the operator until it is stopped or cannot go on.

    Raises:
        ProfilesError: the profiles cannot be used.
        ClusterUnavailableError: there is no usable configuration for a cluster.
        OSError: a port is taken.
    """
    cluster = await KubernetesCluster.connect(settings.namespace)
    store = S3Store(settings.s3.for_store())
    tasks: list[asyncio.Task[None]] = []
    with contextlib.ExitStack() as stack:
        validator = stack.enter_context(ContractValidator())
        operator = _Operator(settings, cluster, store, validator)
        stack.callback(operator.storage.close)
        stack.callback(operator.metrics.serve(settings.host, settings.metrics_port))
        if store.temporary_credentials and not store.renewed_credentials:
            _LOGGER.warning(
                "the store's credentials are a session token that is not renewed: when it expires, the operator and "
                "all running executions lose access; give the operator permanent keys, or an identity"
            )
        try:
            await asyncio.to_thread(store.check)
        except StoreUnavailableError as error:
            _LOGGER.warning("the object store is not available yet; executions wait for it: %s", error)
        registry = kopf.OperatorRegistry()
        register(
            registry,
            operator.facts,
            operator.queue,
            synced=operator.synced.set,
            gone=operator.reconciler.forget,
            healthy=operator.probe,
        )
        kopf.on.login(registry=registry, id="login")(login)
        loops = [operator.work() for _ in range(settings.workers)]
        tasks = [asyncio.create_task(loop, name=f"worker {number}") for number, loop in enumerate(loops)]
        tasks.append(asyncio.create_task(operator.compare(), name="resync"))
        tasks.append(asyncio.create_task(operator.events.run(), name="events"))
        tasks.append(asyncio.create_task(operator.sweeper.run(), name="sweeper"))
        if store.renewed_credentials:
            tasks.append(asyncio.create_task(operator.renew(), name="renewal"))
        operator.health.expect(tasks)
        _LOGGER.info("the operator of namespace %s starts", settings.namespace)
        try:
            await kopf.operator(
                registry=registry,
                settings=kopf_settings(),
                namespaces=[settings.namespace],
                standalone=True,
                liveness_endpoint=f"http://{settings.host}:{settings.health_port}/healthz",
                stop_flag=stop,
            )
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            await cluster.aclose()
