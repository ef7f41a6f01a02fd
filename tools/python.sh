#!/usr/bin/env bash
# Names the Python that the virtual environment is made with: python3, unless that one was built without profile-guided
# optimisation (as pyenv does by default) and the system has the same version with it: a fifth to a third faster
# (docs/performance.md). To use another: make PYTHON=...
set -eu

optimised() { # sysconfig keeps the flags of the build; Debian builds optimise without the configure option
  "$1" -c '
import ensurepip, sys, sysconfig
flags = sysconfig.get_config_var("CONFIG_ARGS") or ""
system = sys.base_prefix == "/usr" and not sysconfig.get_config_var("PGO_PROF_USE_FLAG")
sys.exit(not ("--enable-optimizations" in flags or system))' 2>/dev/null
}
version() { "$1" -c 'import sys; print(*sys.version_info[:2])' 2>/dev/null || echo none; }

if [ -x /usr/bin/python3 ] && ! optimised python3 && optimised /usr/bin/python3 \
  && [ "$(version python3)" = "$(version /usr/bin/python3)" ]; then
  echo /usr/bin/python3
else
  echo python3
fi
