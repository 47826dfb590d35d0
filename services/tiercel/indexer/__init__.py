"""
The indexer: writes down what happened.

IN     history: changes of executions, logs, metrics, audit records
OUT    rows of the repository
OWNS   the repository's history tables
NEVER  decides anything
"""
