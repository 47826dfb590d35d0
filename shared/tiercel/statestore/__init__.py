"""The state store: live state of executions, scopes, triggers and leases, behind one fence."""
