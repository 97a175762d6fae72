"""Labels: how executions, and the Jobs, pods and Secrets made of them, are found again in a cluster."""

from podbook_core import API_GROUP

__all__ = ["EXECUTION_LABEL", "MANAGED_BY", "NOTEBOOK_LABEL", "OURS", "OWN_PREFIX", "QUEUE_LABEL", "SUBMITTER_LABEL", "UID_LABEL"]

OWN_PREFIX = f"{API_GROUP}/"
"""What labels begin with that callers may not set."""
EXECUTION_LABEL = f"{OWN_PREFIX}execution"
"""Label of Jobs and pods: the execution's name."""
UID_LABEL = f"{OWN_PREFIX}execution-uid"
"""Label of Jobs and pods: the execution's unique id."""
NOTEBOOK_LABEL = f"{OWN_PREFIX}notebook"
"""Label of executions, Jobs and pods: the notebook's name, as a label value."""
SUBMITTER_LABEL = f"{OWN_PREFIX}submitter"
"""Label of executions: the id of the key that created it, as a label value."""
MANAGED_BY = "podbook-operator"
"""Value of ``app.kubernetes.io/managed-by`` on everything the operator creates."""
OURS = f"app.kubernetes.io/managed-by={MANAGED_BY}"
"""Selects the Jobs and pods that the operator is about."""
QUEUE_LABEL = "kueue.x-k8s.io/queue-name"
"""Label of Jobs that wait in a queue of Kueue's."""
