"""How the tests reach a Service or a pod from outside of the cluster."""

import re
import subprocess
import threading
from types import TracebackType
from typing import Self

from .kubectl import Kubectl
from .patience import until

__all__ = ["Tunnel"]


class Tunnel:
    """``kubectl port-forward`` to a free local port, started again whenever it ends (the pod behind a Service was replaced).

    Args:
        kubectl: knows the namespace.
        target: ``service/NAME``, which is one of its pods, or ``pod/NAME``.
        port: the target's.
    """

    def __init__(self, kubectl: Kubectl, target: str, port: int) -> None:
        self._command = ["kubectl", "--namespace", kubectl.namespace, "port-forward", target]
        self._remote = port
        self._local = 0
        self._closing = threading.Event()
        self._process: subprocess.Popen[str] | None = None
        self._thread = threading.Thread(target=self._keep, name=f"tunnel to {target}", daemon=True)

    @property
    def url(self) -> str:
        """Address of the local end; it stays the same when the tunnel is started again."""
        return f"http://127.0.0.1:{until('the port-forward', lambda: self._local or None)}"

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._closing.set()
        if self._process is not None:
            self._process.terminate()
        self._thread.join(timeout=10)

    def _keep(self) -> None:
        while not self._closing.is_set():
            command = [*self._command, f"{self._local or ''}:{self._remote}"]
            with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as process:
                self._process = process
                for line in process.stdout or ():
                    found = re.search(r"127\.0\.0\.1:(\d+)", line)
                    if found:
                        self._local = int(found[1])
            self._closing.wait(0.5)
