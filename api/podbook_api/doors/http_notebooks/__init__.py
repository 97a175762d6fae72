"""Annotated cells as routes under ``/http/<notebook>/…``: each request an execution of its own."""
