"""`tiercel flow schema`: the JSON schema of flows, tasks or triggers, for editors."""

from __future__ import annotations

import argparse
import json

from tiercel.flowspec.schema import generate


def execute(arguments: argparse.Namespace) -> int:
    """Print the schema of a kind of document, or of one type."""
    name: str = arguments.of
    schema = generate.schema_of_type(name) if "." in name else generate.schema_of(name)
    print(json.dumps(schema, indent=2, ensure_ascii=False))
    return 0
