"""jupyrest, first generation: one synchronous route, ``/api/NotebookExecutions``."""
