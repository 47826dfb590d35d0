"""
Make a virtual environment with pip in it, on a machine that may have nothing but Python.

usage: make_venv.py FOLDER

Debian splits `ensurepip` off into a package of its own. Where it is missing, pip comes from the machine's own pip if
there is one, else as a wheel from the package index that the environment names (PIP_INDEX_URL), else the public one.
"""

import importlib.util
import os
import re
import subprocess
import sys
import tempfile
import urllib.parse
import urllib.request
from pathlib import Path

PUBLIC_INDEX = "https://pypi.org/simple"


def main(folder: Path) -> None:
    python = folder / "bin" / "python"
    if importlib.util.find_spec("ensurepip") is not None:
        subprocess.run([sys.executable, "-m", "venv", folder], check=True)
        return
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", folder], check=True)
    if importlib.util.find_spec("pip") is not None:
        subprocess.run([sys.executable, "-m", "pip", "--python", python, "install", "-q", "pip"], check=True)
        return
    with tempfile.TemporaryDirectory() as scratch:
        wheel = download_pip(Path(scratch))
        subprocess.run([python, f"{wheel}/pip", "install", "-q", "--no-index", wheel], check=True)


def download_pip(folder: Path) -> Path:
    """Download the newest wheel of pip and return its path."""
    page = os.environ.get("PIP_INDEX_URL", PUBLIC_INDEX).rstrip("/") + "/pip/"
    with urllib.request.urlopen(page) as answer:
        links = re.findall(r'href="([^"]+/(pip-([\d.]+)-py3-none-any\.whl)[^"]*)"', answer.read().decode())
    if not links:
        sys.exit(f"There is no wheel of pip at {page}; install python3-venv and try again.")
    link, name, _ = max(links, key=lambda found: [int(part) for part in found[2].split(".")])
    with urllib.request.urlopen(urllib.parse.urljoin(page, link)) as answer:
        (folder / name).write_bytes(answer.read())
    return folder / name


if __name__ == "__main__":
    main(Path(sys.argv[1]))
