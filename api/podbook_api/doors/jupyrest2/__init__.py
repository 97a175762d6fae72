"""jupyrest 0.2: notebooks with a contract under ``/api/notebooks``, their executions under ``/api/notebook_executions``."""
