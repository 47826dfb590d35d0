"""
The executor: decides what happens next to each execution.

IN     execution events, due timers
OUT    worker jobs, history, broadcasts, child executions
OWNS   the live state of executions and concurrency scopes
NEVER  runs user code, lets its core do I/O, reads a repository (but to bring back a terminated execution)
"""
