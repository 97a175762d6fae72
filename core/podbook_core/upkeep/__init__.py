"""What keeps a store in shape: what may be removed, and the index made again from the records."""
