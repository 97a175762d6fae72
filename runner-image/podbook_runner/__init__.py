"""What runs in the pod: one process that executes one attempt of one notebook.

``python -m podbook_runner --task FILE --attempt ID`` fetches the notebook, runs it with papermill on a kernel of its own, renders it
with nbconvert, and stores what came of it, the manifest last. Its exit code (:class:`podbook_core.execution.reasons.ExitCode`) and the
manifest are its whole interface.
"""
