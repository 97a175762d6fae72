"""The cells: what is run, what is known while they run, and what they print."""
