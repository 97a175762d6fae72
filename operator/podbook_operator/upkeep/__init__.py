"""What runs beside the executions: resync, renewed access, the sweep."""
