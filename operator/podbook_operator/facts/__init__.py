"""What is known of the cluster: small facts in a cache, slots, and the queue of what to look at next."""
