"""How flows depend on one another: by the flows that tasks run, and by the executions that triggers listen to."""
