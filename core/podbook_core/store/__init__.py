"""The object store: its Protocol, its keys, and one adapter a module."""
