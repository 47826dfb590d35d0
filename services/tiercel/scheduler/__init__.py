"""
The scheduler: makes executions when their time has come.

IN     the clock, trigger events, new revisions of flows
OUT    create-execution commands, jobs that evaluate triggers, news of triggers that stop
OWNS   the live state of triggers
NEVER  runs user code, asks the clock inside core
"""
