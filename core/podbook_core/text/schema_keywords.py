"""Where schemas stand inside a schema (drafts 7 and 2020-12): walking one requires knowing what holds schemas and what holds values."""

__all__ = ["LITERALS", "SCHEMA_MAPS"]

SCHEMA_MAPS = ("properties", "patternProperties", "$defs", "definitions", "dependentSchemas")
"""Keywords whose value is an object of schemas: its keys are names, never keywords."""
LITERALS = ("const", "enum", "default", "examples", "required", "type")
"""Keywords whose value is not a schema, whatever it looks like."""
