"""`tiercel server …`: one service as this process, or all of them as children."""

from __future__ import annotations

import argparse

from tiercel import assembly, standalone
from tiercel.cli import options
from tiercel.runtime import process


def execute(arguments: argparse.Namespace) -> int:
    """Run until asked to stop."""
    if arguments.service == "standalone":
        more = {}
        if arguments.port is not None and arguments.management_port is None:
            more["server.management-port"] = arguments.port + 1 if arguments.port else 0
        return standalone.run(options.read(arguments, **more))
    settings = options.read(arguments)
    options.require_backends(settings, arguments.service)
    return process.run(arguments.service, settings, assembly.assemble(arguments.service, settings))
