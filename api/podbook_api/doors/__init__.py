"""How requests enter: credentials, bodies, errors and documents that the doors share, and a folder for each door."""
