"""From an accepted execution to its Secret and Job: everything is decided and signed first, then written, Secret before Job."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from podbook_core.acceptance import limits
from podbook_core.digests import digest_json
from podbook_core.model import NotebookExecution
from podbook_core.profiles import Profiles
from podbook_core.reasons import Reason
from podbook_core.verdict import End
from podbook_operator.access import Signer, build_task, validity_seconds
from podbook_operator.cluster import Cluster, ConflictError, RefusedError
from podbook_operator.job import build_job, build_secret
from podbook_operator.observe import job_from_object
from podbook_operator.storage import Storage

__all__ = ["Launch", "Launcher"]


@dataclass(frozen=True, slots=True)
class Launch:
    """What is to be created. The Secret's document is secret: it never goes into a log."""

    secret: Mapping[str, Any]
    job: Mapping[str, Any]


class Launcher:
    """Prepares and creates what an execution runs in.

    Args:
        cluster: where it is created.
        storage: knows the notebook's version.
        signer: signs the pod's access.
        profiles: what may be run on.
        publish_timeout: longest time a runner may take to store results, in seconds.
    """

    def __init__(self, cluster: Cluster, storage: Storage, signer: Signer, profiles: Profiles, publish_timeout: int) -> None:
        self._cluster, self._storage, self._signer = cluster, storage, signer
        self._profiles, self._publish_timeout = profiles, publish_timeout

    async def prepare(self, execution: NotebookExecution) -> Launch | End:
        """What to create for an execution, parameters included; or why it cannot run any more."""
        resolved = execution.status.resolved
        if resolved is None:
            return End(Reason.CONFIGURATION_ERROR, "it was never accepted")
        if digest_json(execution.spec.parameters) != resolved.parameters_digest:
            # The API server's rule for immutable specs has a hole where values are free-form.
            return End(Reason.INVALID_PARAMETERS, "the parameters were changed after they had been accepted")
        version = await self._storage.version(execution.spec.notebook.name, resolved.version)
        if version is None:
            return End(Reason.NOTEBOOK_NOT_FOUND, f"version {resolved.version[:12]} is no longer stored")
        profile = self._profiles.get(resolved.profile)
        if profile is None or resolved.image is None:
            return End(Reason.CONFIGURATION_ERROR, f"profile {resolved.profile} is no longer offered")
        chosen = limits(execution.spec, version, profile)
        task = build_task(
            execution,
            version,
            execution.spec.parameters,
            self._signer,
            timeout=resolved.timeout_seconds,
            publish_timeout=self._publish_timeout,
            seconds=validity_seconds(
                start=chosen.start_timeout,
                timeout=resolved.timeout_seconds,
                publish=self._publish_timeout,
                retries=chosen.retries,
                queue=chosen.queue_timeout if profile.queue else 0,
            ),
        )
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
        return Launch(build_secret(execution.metadata, task.to_json()), job)

    async def create(self, launch: Launch) -> Mapping[str, Any] | End:
        """Create both; repeatable. Returns the Job as the API server has it, or why the cluster will not have it."""
        try:
            await self._cluster.apply_secret(launch.secret)
            return await self._create_job(launch.job)
        except RefusedError as error:
            # 403 is a quota or a policy, which is the cluster's; anything else says that the profile makes no valid Job.
            reason = Reason.POD_REJECTED if error.status == 403 else Reason.CONFIGURATION_ERROR
            return End(reason, f"the cluster refused its Job: {error}")

    async def _create_job(self, body: Mapping[str, Any]) -> Mapping[str, Any]:
        try:
            return await self._cluster.create_job(body)
        except ConflictError:
            # Created before and not seen yet: the name is the lock, the owner is the proof.
            found = await self._cluster.get_job(body["metadata"]["name"])
        if job_from_object(found).owner_uid != body["metadata"]["ownerReferences"][0]["uid"]:
            raise RefusedError(409, f"there is another Job named {body['metadata']['name']}")
        return found
