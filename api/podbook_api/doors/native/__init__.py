"""Podbook's own REST API, under ``/v1``."""
