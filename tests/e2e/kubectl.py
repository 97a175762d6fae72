"""kubectl, as a person would use it: the tests see the cluster through the same window as its administrators."""

import json
import subprocess
from typing import Any

__all__ = ["Kubectl", "KubectlError"]


class KubectlError(Exception):
    """kubectl ended with an error; its words are the message."""


class Kubectl:
    """Runs kubectl against the cluster of ``KUBECONFIG``.

    Args:
        namespace: where everything is looked for and created.
    """

    def __init__(self, namespace: str = "default") -> None:
        self.namespace = namespace

    def __call__(self, *arguments: str, stdin: Any = None, timeout: float = 60) -> str:
        """Run one command and return what it printed.

        Args:
            *arguments: the command without ``kubectl``.
            stdin: text for its standard input, or a document that is handed over as JSON.
            timeout: seconds it may take.

        Raises:
            KubectlError: it failed or took too long.
        """
        text = stdin if stdin is None or isinstance(stdin, str) else json.dumps(stdin)
        command = ["kubectl", "--namespace", self.namespace, *arguments]
        try:
            done = subprocess.run(command, input=text, capture_output=True, text=True, timeout=timeout, check=False)
        except subprocess.TimeoutExpired as error:
            raise KubectlError(f"{' '.join(command)} took longer than {timeout:g} s") from error
        if done.returncode != 0:
            raise KubectlError(f"{' '.join(command)}: {done.stderr.strip()}")
        return done.stdout

    def get(self, kind: str, name: str) -> dict[str, Any]:
        """One object."""
        return self._document("get", kind, name, "--output=json")

    def list(self, kind: str, selector: str = "") -> list[dict[str, Any]]:
        """All objects of a kind, or those that a label selector picks."""
        arguments = ["get", kind, "--output=json", *([f"--selector={selector}"] if selector else [])]
        items: list[dict[str, Any]] = self._document(*arguments)["items"]
        return items

    def exists(self, kind: str, name: str) -> bool:
        """Whether there is such an object."""
        return bool(self("get", kind, name, "--ignore-not-found", "--output=name").strip())

    def apply(self, document: Any) -> None:
        """``kubectl apply`` of a document, as from a file."""
        self("apply", "--filename=-", stdin=document)

    def create(self, document: Any) -> dict[str, Any]:
        """``kubectl create`` of a document; returns what the API server made of it."""
        created: dict[str, Any] = json.loads(self("create", "--filename=-", "--output=json", stdin=document))
        return created

    def _document(self, *arguments: str) -> dict[str, Any]:
        document: dict[str, Any] = json.loads(self(*arguments))
        return document
