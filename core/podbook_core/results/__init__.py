"""What runs leave in the store: attempts read with care, the record that counts, the index that finds it."""
