"""Executions as documents in a directory, each attempt a process started by a supervisor."""
