"""`tiercel health`: asks the process on this machine how it is, for the health checks of containers."""

from __future__ import annotations

import argparse
import json
import sys
import urllib.error
import urllib.request
from typing import Final

from tiercel.cli import options
from tiercel.errors import InvalidSettings

TIMEOUT_S: Final = 8.0
"""The process gives its own checks five."""
EVERYWHERE: Final = frozenset({"0.0.0.0", "::"})


def execute(arguments: argparse.Namespace) -> int:
    """Return 0 when the process is well; 1, and say why, when it is not."""
    settings = options.read(arguments)
    if not settings.server.management_port:
        raise InvalidSettings("'server.management-port' is 0: the process has no port on which it could be asked.")
    host = "127.0.0.1" if settings.api_host in EVERYWHERE else settings.api_host
    url = f"http://{host}:{settings.server.management_port}/health"
    try:
        with urllib.request.urlopen(url, timeout=TIMEOUT_S) as answer:
            said = json.load(answer)
    except urllib.error.HTTPError as error:
        said = json.load(error)
    except OSError as error:
        reason = error.reason if isinstance(error, urllib.error.URLError) else error
        print(f"{url} does not answer: {reason}", file=sys.stderr)
        return 1
    print(f"{said['name']} is {said['status']}")
    for name, check in said["details"].items():
        if check["status"] != "UP":
            print(f"{name} is {check['status']}: {check['details']}", file=sys.stderr)
    return 0 if said["status"] == "UP" else 1
