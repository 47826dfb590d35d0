"""The definition store on PostgreSQL: one row a revision, one row a flow that points to the last."""
