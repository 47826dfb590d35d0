"""
The worker: runs tasks.

IN     jobs, kills
OUT    started and finished events, heartbeats, logs, metrics, files
OWNS   the processes and tasks that it runs
NEVER  touches execution state, reads a repository or definitions
"""
