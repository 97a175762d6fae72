"""What a run starts from: fetched, verified and laid out in its workspace."""
