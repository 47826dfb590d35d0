"""
The command line: `tiercel server …`, `tiercel run`, `tiercel migrate`, `tiercel flow validate`, `tiercel version`.

IN     arguments, settings, flow files
OUT    processes, calls of the API, exit codes
OWNS   nothing
NEVER  decides what a service does
"""
