"""
The core: what an event does to an execution, as a pure function.

`decide(base, event, facts)` reads an execution and writes only to a draft; it asks for what it lacks by raising
`Missing`. `Aggregate.commit(draft)` follows the database. Nothing here waits, asks the clock, logs or does I/O.
"""
