"""What goes to the store and how: HTTP, signed access that is renewed, secrets that are removed first."""
