"""The kernel's process, its specification and the session with it."""
