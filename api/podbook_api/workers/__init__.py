"""Kernels that live longer than one request: worker processes, and pools of them."""
