"""Tasks about executions: fail, exit, labels, variables, purge."""
