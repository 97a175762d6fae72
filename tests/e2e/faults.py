"""Killing things: programs with SIGKILL where they are processes of this machine, pods without grace elsewhere; and evicting pods."""

import os
import signal
import subprocess
import threading
from pathlib import Path
from types import TracebackType
from typing import Self

from .environment import Environment
from .installation import ENDED, ROOT, Installation
from .kubectl import KubectlError
from .patience import until

__all__ = [
    "Evictions",
    "evict",
    "kill_api_server",
    "kill_component",
    "kill_runner",
    "start_api_server",
    "start_minio",
    "stop_minio",
]


def kill_component(installation: Installation, component: str) -> str:
    """Kill one running pod's program with SIGKILL, and the pod with it, so that no back-off delays the next one.

    Returns:
        The name of the pod.
    """
    running = [pod for pod in installation.pods(component) if pod["status"]["phase"] == "Running"]
    assert running, f"no {component} is running"
    pod = running[0]["metadata"]
    if installation.environment.native:
        for process in _processes(pod["uid"], f"podbook_{component}"):
            os.kill(process, signal.SIGKILL)
    installation.kubectl("delete", "pod", pod["name"], "--grace-period=0", "--force", "--wait=false")
    name: str = pod["name"]
    return name


def kill_runner(installation: Installation, name: str) -> None:
    """Kill the runner of an execution that is running with SIGKILL; its pod stays. Native clusters only."""
    pod = installation.runs.get("pod", installation.custom_resource(name)["status"]["podName"])
    processes = _processes(pod["metadata"]["uid"], "podbook_runner")
    assert processes, f"{name} has no runner"
    for process in processes:
        os.kill(process, signal.SIGKILL)


def evict(installation: Installation, pod: str) -> None:
    """Evict a pod of a run, as a drain does it.

    Raises:
        KubectlError: there is no such pod, or it must not be evicted.
    """
    namespace = installation.runs.namespace
    eviction = {"apiVersion": "policy/v1", "kind": "Eviction", "metadata": {"name": pod, "namespace": namespace}}
    path = f"/api/v1/namespaces/{namespace}/pods/{pod}/eviction"
    installation.runs("create", "--raw", path, "--filename=-", stdin=eviction)


class Evictions:
    """Evicts every pod of an execution as soon as it runs, until the execution has ended. Works while it is entered."""

    def __init__(self, installation: Installation, name: str) -> None:
        self._installation, self.name = installation, name
        self._closing = threading.Event()
        self._thread = threading.Thread(target=self._run, name=f"evictions of {name}", daemon=True)
        self.evicted: set[str] = set()
        """Names of the pods."""

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._closing.set()
        self._thread.join(timeout=30)

    def _run(self) -> None:
        while not self._closing.wait(1):
            try:
                status = self._installation.custom_resource(self.name).get("status", {})
                if status.get("phase") in ENDED:
                    return
                pod = status.get("podName")
                if status.get("reason") == "Running" and pod not in self.evicted:
                    evict(self._installation, pod)
                    self.evicted.add(pod)
            except KubectlError:
                continue  # the API server is away, or the pod is gone by itself: seen better next time


def _processes(pod_uid: str, program: str) -> list[int]:
    """Processes of a pod's container on this machine, found by their control group."""
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            group, command = (folder / "cgroup").read_text(), (folder / "cmdline").read_bytes()
        except OSError:
            continue  # it has ended meanwhile
        if pod_uid in group.replace("_", "-") and program.encode() in command:
            found.append(int(folder.name))
    return found


def kill_api_server(environment: Environment) -> None:
    """Kill the Kubernetes API server with SIGKILL. Native clusters only."""
    _kill(environment, "apiserver")


def start_api_server(environment: Environment) -> None:
    """Start the Kubernetes API server again and wait until it serves. Native clusters only.

    Its controllers and the scheduler start from scratch, as they do wherever they lose their lease meanwhile; otherwise they would take up to a
    minute to ask again.
    """
    for program in ("controllers", "scheduler"):
        _kill(environment, program)
    subprocess.run([ROOT / "tests/cluster/up"], check=True, capture_output=True, timeout=120)


def _kill(environment: Environment, program: str) -> None:
    assert environment.state is not None
    process = int((environment.state / "run" / program).read_text().split()[0])
    os.kill(process, signal.SIGKILL)
    until(f"the end of {program}", lambda: not _alive(process), seconds=20)


def _alive(process: int) -> bool:
    try:
        return Path(f"/proc/{process}/stat").read_text().split()[2] != "Z"
    except OSError:
        return False


def stop_minio(installation: Installation) -> None:
    """Take the object store away: SIGKILL, or no pod."""
    if installation.environment.minio is not None:
        subprocess.run([installation.environment.minio, "kill"], check=True, capture_output=True, timeout=60)
    else:
        installation.kubectl("scale", "deployment", installation.fullname("minio"), "--replicas=0")
        until("MinIO to be gone", lambda: not installation.pods("minio"))


def start_minio(installation: Installation) -> None:
    """Bring it back."""
    if installation.environment.minio is not None:
        subprocess.run([installation.environment.minio, "start"], check=True, capture_output=True, timeout=60)
    else:
        deployment = installation.fullname("minio")
        installation.kubectl("scale", "deployment", deployment, "--replicas=1")
        installation.kubectl("rollout", "status", f"deployment/{deployment}", "--timeout=120s", timeout=150)
