"""The command line with the test-only plugins loaded: what real mode starts in place of `tiercel`."""

from __future__ import annotations

import sys

from tests.conformance import test_plugins  # noqa: F401 (registers the types that only the corpora use)
from tiercel.cli.main import main

if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
