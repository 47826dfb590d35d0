"""
The worker: runs tasks.

IN     jobs, kills
OUT    started and finished events, heartbeats, logs, metrics, files
OWNS   the processes and tasks that it runs
NEVER  touches execution state, reads a repository or definitions

A job on its way: `service` claims it, `crew` takes it in, `jobrun` (or `folderrun`, or `triggers`) sees to it that
its end is told, `attempt` runs the task with its `context`, and `outbox` sends what there is to tell. `ahead` runs
what only computes before it is claimed; `heart` says meanwhile that the worker lives.
"""
