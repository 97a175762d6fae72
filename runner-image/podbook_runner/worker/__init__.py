"""A worker: one kernel that runs cells for one request after the other. It knows no task, no store and no execution."""
