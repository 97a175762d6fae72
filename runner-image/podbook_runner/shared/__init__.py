"""A kernel that is kept for a server: its set-up runs once, then it takes one run after another, and its state stays between them."""
