"""The Kubernetes operator: turns each NotebookExecution into one Job, and its end into a record."""
