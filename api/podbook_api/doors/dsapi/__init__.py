"""The data-science API: a notebook as an address with its parameters in it, and as a slow task with an id."""
