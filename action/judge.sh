#!/usr/bin/env bash
# Ends the job as qatrix ended, now that all reports are kept.
set -euo pipefail

case "${QATRIX_CODE:-}" in
  0) ;;
  1) echo "something is unexpected: see the annotations, the summary of the job and the report" ;;
  "") echo "qatrix did not get as far as a result: see the steps above" ;;
  *) echo "qatrix ended with exit code $QATRIX_CODE: see what it said in the step \"Run the matrix\"" ;;
esac
exit "${QATRIX_CODE:-1}"
