"""Killing things: programs with SIGKILL where they are processes of this machine, pods without grace elsewhere."""

import os
import signal
import subprocess
from pathlib import Path

from .environment import Environment
from .installation import ROOT, Installation
from .patience import until

__all__ = ["kill_api_server", "kill_component", "start_minio", "stop_minio"]


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
    """Kill the Kubernetes API server with SIGKILL and start it again. Native clusters only."""
    assert environment.state is not None
    process = int((environment.state / "run/apiserver").read_text().split()[0])
    os.kill(process, signal.SIGKILL)
    until("the API server's end", lambda: not _alive(process), seconds=20)
    subprocess.run([ROOT / "tests/cluster/up"], check=True, capture_output=True, timeout=120)


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
