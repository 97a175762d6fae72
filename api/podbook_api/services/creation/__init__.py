"""Executions created: once for each idempotency key, whatever comes between."""
