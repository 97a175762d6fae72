"""What the routes of every door call: notebooks, executions and their results."""
