#!/usr/bin/env bash
# Runs the matrix, a shard of it, or merges the shards; leaves the exit code to judge.sh, so that the reports are kept.
set -euo pipefail

out=qatrix-reports

# Words as a shell would split and unquote them, one a line; nothing in them is expanded or run.
words() {
  printf '%s' "$1" | xargs -r -n 1 printf '%s\n'
}

# Command substitution, and not a pipe: a quote that is not closed has to end this script.
selection=$(words "${QATRIX_SELECTION:-}")
paths=$(words "${QATRIX_PATHS:-}")
arguments=()
while IFS= read -r word; do
  [ -z "$word" ] || arguments+=("$word")
done <<<"$paths"$'\n'"$selection"

fail_on=${QATRIX_FAIL_ON:-unexpected}
code=0
if [ -n "${QATRIX_SHARD:-}" ]; then
  shard="$QATRIX_SHARD/${QATRIX_SHARDS:?shard needs shards, the number of all parts}"
  # Whoever merges decides, once everything is there.
  qatrix run ${arguments[@]+"${arguments[@]}"} --shard "$shard" --out "$out" --fail-on never || code=$?
elif [ -n "${QATRIX_SHARDS:-}" ]; then
  qatrix merge qatrix-shards/* --out "$out" --fail-on "$fail_on" || code=$?
else
  qatrix run ${arguments[@]+"${arguments[@]}"} --out "$out" --fail-on "$fail_on" || code=$?
fi

report=
if [ -d "$out/latest" ]; then
  # `latest` is a link, which artifacts do not keep.
  report=$(cd -P "$out/latest" && pwd)
fi
{
  echo "code=$code"
  echo "report=$report"
} >>"$GITHUB_OUTPUT"
