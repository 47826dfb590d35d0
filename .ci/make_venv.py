"""
Make a virtual environment with pip in it, on a machine that may have nothing but Python.

usage: make_venv.py FOLDER

Debian splits `ensurepip` off into a package of its own. Where it is missing, pip comes from the machine's own pip if
there is one, else as a wheel from the package index that pip's settings name (PIP_INDEX_URL or pip.conf), else by way
of Debian's package `python3-venv`, which root may install.
"""

import configparser
import importlib.util
import os
import re
import shutil
import subprocess
import sys
import tempfile
import urllib.parse
import urllib.request
from pathlib import Path

CONFIGURATIONS = ("/etc/pip.conf", "~/.config/pip/pip.conf", "~/.pip/pip.conf")


def main(folder: Path) -> None:
    python = folder / "bin" / "python"
    if importlib.util.find_spec("ensurepip") is not None:
        subprocess.run([sys.executable, "-m", "venv", folder], check=True)
        return
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", folder], check=True)
    if importlib.util.find_spec("pip") is not None:
        subprocess.run([sys.executable, "-m", "pip", "--python", python, "install", "-q", "pip"], check=True)
        return
    index = package_index()
    if index is None:
        install_ensurepip()
        subprocess.run([sys.executable, "-m", "venv", "--clear", folder], check=True)
        return
    with tempfile.TemporaryDirectory() as scratch:
        wheel = download_pip(index, Path(scratch))
        subprocess.run([python, f"{wheel}/pip", "install", "-q", "--no-index", wheel], check=True)


def package_index() -> str | None:
    """Return the index that pip's settings name, None when they name none."""
    if "PIP_INDEX_URL" in os.environ:
        return os.environ["PIP_INDEX_URL"]
    for name in (os.environ.get("PIP_CONFIG_FILE"), *CONFIGURATIONS):
        settings = configparser.ConfigParser()
        if name is not None and settings.read(Path(name).expanduser()):
            found = settings.get("global", "index-url", fallback=None)
            if found:
                return found
    return None


def install_ensurepip() -> None:
    """Let Debian's package manager install what Python's own `venv` needs."""
    if os.geteuid() != 0 or shutil.which("apt-get") is None:
        sys.exit(
            "This Python has neither ensurepip nor pip; install python3-venv, or set PIP_INDEX_URL, and try again."
        )
    version = f"{sys.version_info.major}.{sys.version_info.minor}"
    subprocess.run(["apt-get", "update", "-qq"], check=True)
    subprocess.run(["apt-get", "install", "-y", "-qq", f"python{version}-venv"], check=True)


def download_pip(index: str, folder: Path) -> Path:
    """Download the newest wheel of pip and return its path."""
    page = index.rstrip("/") + "/pip/"
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
