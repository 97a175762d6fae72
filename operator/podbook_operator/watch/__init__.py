"""Everything that talks kopf: handlers that only feed the facts, its login, its settings, and the liveness of its watches."""
