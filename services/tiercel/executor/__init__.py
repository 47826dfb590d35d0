"""
The executor: decides what happens next to each execution.

IN     execution events, due timers
OUT    worker jobs, history, broadcasts, child executions
OWNS   the live state of executions and concurrency scopes
NEVER  runs user code, lets its core do I/O, reads a repository (but to bring back a terminated execution)

An event on its way: `handlers.execution_event` takes a batch of them, `cache` holds the executions, `core` decides,
`facts_source` fetches what a decision asks for (`parking` waits for what takes long, `listeners` decides for Flow
triggers), and `changes` makes records and history of what was decided. `timers` and `liveness` bring events of their
own.
"""
