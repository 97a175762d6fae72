"""The one way from Podbook's programs to the API server of a Kubernetes cluster. API and operator use it alike."""
