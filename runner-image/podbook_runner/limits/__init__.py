"""What a run may use: time, memory, processes, and the signal to stop."""
