"""From an accepted execution to its Secret and Job: everything is decided and signed first, then written, Secret before Job.

Access that ends with the operator's own credentials is signed again while the execution is on, into the same Secret; pods see it there.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from podbook_cluster.errors import ConflictError, NotFoundError, RefusedError
from podbook_core.execution.acceptance import Refused, limits
from podbook_core.execution.model import NotebookExecution, Resolved
from podbook_core.execution.profiles import Profile, Profiles
from podbook_core.execution.reasons import Reason
from podbook_core.execution.task import Task
from podbook_core.execution.task_building import build_task
from podbook_core.execution.verdict import End
from podbook_core.notebook.versions import Version
from podbook_core.threads import Threads
from podbook_operator.act.access import MAX_VALIDITY, Signed, SignedPlaces, Signer, validity_seconds
from podbook_operator.act.job import build_job, build_secret
from podbook_operator.act.storage import Storage
from podbook_operator.cluster import Cluster
from podbook_operator.facts.observe import job_from_object

__all__ = ["Launch", "Launcher"]


_SIGNING_THREADS = 4


@dataclass(frozen=True, slots=True)
class Launch:
    """What is to be created. The Secret's document is secret: it never goes into a log."""

    uid: str
    """The execution's unique id."""
    secret: Mapping[str, Any]
    job: Mapping[str, Any]
    signed: Signed | None
    """When the Secret's access was signed; None where the end of the signer's credentials is not known."""


class Launcher:
    """Prepares and creates what an execution runs in, and renews what its pods may reach.

    Args:
        cluster: where it is created.
        storage: knows the notebook's version.
        signer: signs the pod's access.
        profiles: what may be run on.
        publish_timeout: longest time a runner may take to store results, in seconds.
        clock: the present; tests pass their own.
    """

    def __init__(
        self,
        cluster: Cluster,
        storage: Storage,
        signer: Signer,
        profiles: Profiles,
        publish_timeout: int,
        *,
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._cluster, self._storage, self._signer = cluster, storage, signer
        self._profiles, self._publish_timeout, self._clock = profiles, publish_timeout, clock
        self._threads = Threads(_SIGNING_THREADS, name="signing")
        self.signed: dict[str, Signed] = {}
        """When the access in each Secret was signed, by the execution's unique id, as far as this process did it."""

    async def prepare(self, execution: NotebookExecution) -> Launch | End:
        """What to create for an execution, parameters included; or why it cannot run any more."""
        accepted = await self._storage.confirm(execution, self._profiles)
        if isinstance(accepted, Refused):
            return End(accepted.reason, accepted.message)
        resolved, version, profile, chosen = accepted.resolved, accepted.version, accepted.profile, accepted.limits
        if resolved.image is None:
            return End(Reason.CONFIGURATION_ERROR, f"profile {resolved.profile} is no longer offered")
        task, signed = await self._sign(execution, resolved, version, profile)
        try:
            job = build_job(
                execution.metadata,
                notebook=version.name,
                profile=profile,
                image=resolved.image,
                retries=chosen.retries,
                start_timeout=chosen.start_timeout,
                timeout=resolved.timeout_seconds,
                publish_timeout=self._publish_timeout,
            )
        except ValueError as error:
            return End(Reason.CONFIGURATION_ERROR, f"profile {resolved.profile}: {error}")
        return Launch(execution.uid, build_secret(execution.metadata, task.to_json()), job, signed)

    async def create(self, launch: Launch) -> Mapping[str, Any] | End:
        """Create both; repeatable. Returns the Job as the API server has it, or why the cluster rejects it."""
        try:
            await self._cluster.apply_secret(launch.secret)
            self._note(launch.uid, launch.signed)
            return await self._create_job(launch.job)
        except RefusedError as error:
            # 403 is a quota or a policy, which is the cluster's; anything else says that the profile makes no valid Job.
            reason = Reason.POD_REJECTED if error.status == 403 else Reason.CONFIGURATION_ERROR
            return End(reason, f"the cluster refused its Job: {error}")

    async def renew(self, execution: NotebookExecution) -> str | None:
        """Sign the access of an execution that is on, parameters included, again, and put it where its pods find it.

        Returns:
            Why there is nothing that could be renewed; None when it was.

        Raises:
            StoreUnavailableError: later.
            ClusterError: later.
        """
        what = await self._storage.fixed(execution)
        if isinstance(what, Refused):
            return what.message
        resolved, version = what
        task, signed = await self._sign(execution, resolved, version, self._profiles.get(resolved.profile))
        try:
            # Never created here: the Secret of an execution that has ended meanwhile is gone for good.
            await self._cluster.replace_secret(build_secret(execution.metadata, task.to_json()))
        except NotFoundError:
            return "its Secret no longer exists"
        self._note(execution.uid, signed)
        return None

    async def _sign(
        self, execution: NotebookExecution, resolved: Resolved, version: Version, profile: Profile | None
    ) -> tuple[Task, Signed | None]:
        seconds = MAX_VALIDITY  # of a run whose profile is gone; it ends with the credentials anyway
        if profile is not None:
            chosen = limits(execution.spec, version, profile)
            seconds = validity_seconds(
                start=chosen.start_timeout,
                timeout=resolved.timeout_seconds,
                publish=self._publish_timeout,
                queue=chosen.queue_timeout if profile.queue else 0,
            )

        def sign() -> tuple[Task, Signed | None]:
            # The end is asked for first: should the credentials change in between, what is signed lasts longer than was noted.
            at, until = self._clock(), self._signer.credentials_end()
            task = build_task(
                execution,
                version,
                SignedPlaces(self._signer, seconds),
                timeout=resolved.timeout_seconds,
                publish_timeout=self._publish_timeout,
            )
            return task, None if until is None else Signed(at, until)

        # New credentials may have to be fetched from elsewhere, and the loop must not wait for that.
        return await self._threads.run(sign) if self._signer.renewed_credentials else sign()

    def _note(self, uid: str, signed: Signed | None) -> None:
        if signed is not None:
            self.signed[uid] = signed

    async def _create_job(self, body: Mapping[str, Any]) -> Mapping[str, Any]:
        try:
            return await self._cluster.create_job(body)
        except ConflictError:
            # Created before and not seen yet: the name is the lock, the owner is the proof.
            found = await self._cluster.get_job(body["metadata"]["name"])
        if job_from_object(found).owner_uid != body["metadata"]["ownerReferences"][0]["uid"]:
            raise RefusedError(409, f"another Job exists with the name {body['metadata']['name']}")
        return found
