"""Notebooks whose annotated cells answer HTTP requests, as in the Jupyter Kernel Gateway: cells, routes, REQUEST, answers. Pure."""
