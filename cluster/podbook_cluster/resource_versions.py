"""Resource versions, which grow with every change of an object and are compared as numbers (Kubernetes 1.35, KEP-5504). Pure."""

__all__ = ["is_newer", "version_number"]


def version_number(text: str | None) -> int:
    """A resource version as a number; 0 where it is not one."""
    return int(text) if text and text.isdecimal() else 0


def is_newer(candidate: str, known: str) -> bool:
    """Whether a resource version is at least as new as another; True where they cannot be compared, so that no news is lost."""
    if candidate.isdecimal() and known.isdecimal():
        return int(candidate) >= int(known)
    return True
