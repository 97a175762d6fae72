"""The ``podbook`` command."""
