"""
The JSON schema of flows, tasks and triggers: what editors complete and check with.

It is made of the classes that flows are bound to, so it cannot fall behind them. It is never stricter than the binder:
what the schema refuses, the server refuses; rules that span several properties are the server's alone.
"""
