"""The vocabulary every part of Podbook shares: model, reasons, names, contracts, versions, records and the store.

Nothing here talks to a network except :mod:`podbook_core.store.s3`, and nothing here knows a framework.
"""

__all__ = ["API_GROUP", "API_VERSION", "KIND", "PLURAL", "__version__"]

__version__ = "0.2.0"

API_GROUP = "podbook.dev"
"""API group of the custom resource."""
API_VERSION = "v1alpha1"
"""The one served version of the custom resource."""
KIND = "NotebookExecution"
PLURAL = "notebookexecutions"
