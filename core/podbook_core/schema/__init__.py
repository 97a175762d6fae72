"""JSON Schema: values checked against it in a process that can be killed, and violations in words."""
