"""What a request says: its key, its body, its forms, and what it prefers."""
