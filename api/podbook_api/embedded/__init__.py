"""The backend of ``podbook serve``: executions in a directory, runners as processes of this machine."""
