"""Decisions carried out, each step repeatable: Secret, Job, status, record."""
