#!/usr/bin/env bash
# Shows the summary of the run, and what changed against a baseline, in the summary of the job.
set -euo pipefail

text="$QATRIX_REPORT/comment.md"
comparison=
cat "$QATRIX_REPORT/summary.md" >"$text"
if [ -n "${QATRIX_BASELINE:-}" ]; then
  if [ -e "$QATRIX_BASELINE" ]; then
    comparison=qatrix-reports/compare
    qatrix compare "$QATRIX_BASELINE" "$QATRIX_REPORT" --label baseline --label this --out "$comparison" --fail-on never
    {
      echo
      cat "$comparison/compare.md"
    } >>"$text"
  else
    echo "::notice title=qatrix::there is no baseline at $QATRIX_BASELINE yet, so nothing is compared"
  fi
fi
cat "$text" >>"$GITHUB_STEP_SUMMARY"
{
  echo "text=$text"
  echo "comparison=$comparison"
} >>"$GITHUB_OUTPUT"
