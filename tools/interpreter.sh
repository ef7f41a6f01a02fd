#!/usr/bin/env bash
# Names a Python of one version, as `tools/interpreter.sh 3.13`: one on the PATH, else pyenv's, else uv's. Installs nothing.
set -eu

works() { "$1" -c "import sys, venv; sys.exit('%d.%d' % sys.version_info[:2] != '$version')" >/dev/null 2>&1; }

version=$1
for found in "python$version" "${PYENV_ROOT:-$HOME/.pyenv}/versions/$version".*/bin/python "$(uv python find "$version" 2>/dev/null || true)"; do
  if [ -n "$found" ] && works "$found"; then
    echo "$found"
    exit
  fi
done
echo "there is no Python $version here, so nothing is tested with it: install it (apt-get install python$version-venv," \
  "pyenv install $version, or uv python install $version), or leave it out: make pythons PYTHONS=..." >&2
exit 1
