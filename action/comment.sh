#!/usr/bin/env bash
# Puts the summary into one comment of the pull request: the one of the run before, where there is one.
set -euo pipefail

mark="<!-- qatrix -->"
comments="repos/$GITHUB_REPOSITORY/issues/$QATRIX_PULL_REQUEST/comments"
body=$(mktemp)
trap 'rm -f "$body"' EXIT
# GitHub takes 65,536 characters, which bash counts as such in this locale.
LC_ALL=C.UTF-8
text=$(<"$QATRIX_TEXT")
{
  printf '%s\n%s\n' "$mark" "${text:0:60000}"
  if [ "${#text}" -gt 60000 ]; then
    printf '\n…\n\nThe rest is in the artifact of the job.\n'
  fi
} >"$body"

known=$(gh api --paginate "$comments" --jq ".[] | select(.body | startswith(\"$mark\")) | .id")
known=${known%%$'\n'*}
if [ -n "$known" ]; then
  gh api --method PATCH "repos/$GITHUB_REPOSITORY/issues/comments/$known" -F "body=@$body" --silent
else
  gh api --method POST "$comments" -F "body=@$body" --silent
fi
