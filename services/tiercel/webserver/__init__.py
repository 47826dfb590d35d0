"""
The webserver: the API.

IN     HTTP; flow changes from other processes
OUT    commands to executions and triggers, definitions, files, audit records
OWNS   the API, definitions
NEVER  decides what runs next
"""
