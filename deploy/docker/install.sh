#!/bin/sh
# Install Tiercel from its source into a folder of its own: what the image is made of.
#
# usage: install.sh SOURCE TARGET [EXTRAS]     EXTRAS: kafka,s3,embedded; PYTHON names the interpreter
set -eu
source=$1 target=$2 extras=${3:-}
python=${PYTHON:-python3}
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT

"$python" -m pip wheel --quiet --no-deps --wheel-dir "$scratch" "$source"
wheel=$(ls "$scratch"/tiercel-*.whl)
"$python" -m venv --without-pip "$target"
"$python" -m pip --python "$target/bin/python" install --quiet "$wheel${extras:+[$extras]}"
"$target/bin/tiercel" version
