#!/usr/bin/env bash
# Installs qatrix from the checkout that the action is part of; with a release, in the set of versions tested for it.
set -euo pipefail

source=$(cd "$(dirname "$0")/.." && pwd)
if [ -z "${QATRIX_RELEASE:-}" ]; then
  python -m pip install "$source"
  exit 0
fi

constraints="$source/constraints/torch-$QATRIX_RELEASE.txt"
if [ ! -f "$constraints" ]; then
  known=$(cd "$source/constraints" && printf '%s\n' torch-*.txt | sed 's/^torch-//; s/\.txt$//' | sort -V | paste -sd ' ' -)
  echo "::error title=qatrix::release '$QATRIX_RELEASE' has no tested set of versions; expected one of: $known" >&2
  exit 2
fi
options=(--constraint "$constraints")
case "$QATRIX_RELEASE" in
  # No torchao imports on these, or none that has PT2E; tox leaves it out in the same way.
  2.3 | 2.5 | 2.6) options+=(--override "$source/constraints/without-torchao.txt") ;;
esac
# pip has no overrides.
python -m pip install uv
python -m uv pip install --python "$(command -v python)" "${options[@]}" "$source"
