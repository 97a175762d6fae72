"""Text and bytes by rule: names, digests, JSON and its depth."""
