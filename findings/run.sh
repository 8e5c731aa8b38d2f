#!/usr/bin/env bash
# Runs each finding and prints a table: does it still hold? Exits 1 if one does not.
cd "$(dirname "$0")" || exit 1
failed=0
for script in *.sh; do
  [ "$script" = run.sh ] && continue
  if output=$(bash "$script" 2>&1); then holds=holds; else holds=CHANGED; failed=1; fi
  printf '%-38s %-8s %s\n' "${script%.sh}" "$holds" "$(tail -n 1 <<<"$output" | cut -c 1-100)"
done
exit $failed
