"""What to do next, decided from facts alone. Pure: no cluster, no store."""
