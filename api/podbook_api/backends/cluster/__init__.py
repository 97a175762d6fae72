"""Executions as custom resources of a Kubernetes cluster."""
