"""The executed notebook as HTML, made in a process of its own."""
