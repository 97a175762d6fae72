"""The REST API: doors over services over one of two backends, a Kubernetes cluster or processes of this machine."""
