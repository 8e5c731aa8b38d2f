#!/usr/bin/env bash
# git 2.39: where a tag of the remote has a name that is another tag's here, `git fetch --quiet --tags` exits 1 and says nothing,
# on no stream (all else is fetched); without --quiet a line says "would clobber existing tag". And `git push --follow-tags` leaves
# such a tag out, exits 0, and says nothing of it in either case.
# Seen: fetch --quiet: exit 1, 0 bytes said; push --follow-tags: exit 0, the tag is not there
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
export HOME="$PWD" GIT_CONFIG_NOSYSTEM=1
git config --global user.name Ada
git config --global user.email ada@example.org
git config --global init.defaultBranch main
git init --quiet --bare hub
for one in ada bob; do
  git clone --quiet hub "$one" 2>log
  git -C "$one" commit --quiet --allow-empty -m "$one"
  git -C "$one" tag -a exp-1 -m "the first of $one"
done
git -C ada push --quiet origin main exp-1
code=0
git -C bob fetch --quiet --tags >said 2>&1 || code=$?
[ "$code" = 1 ]
[ ! -s said ]
git -C bob fetch --tags >loud 2>&1 || true
grep -q 'would clobber existing tag' loud
git -C bob push --follow-tags origin HEAD:refs/heads/bob >pushed 2>&1
grep -q exp-1 pushed && exit 1
[ "$(git -C hub rev-parse exp-1)" = "$(git -C ada rev-parse exp-1)" ]
[ "$(git -C hub rev-parse exp-1)" != "$(git -C bob rev-parse exp-1)" ]
echo "fetch --quiet: exit $code, 0 bytes said; push --follow-tags: exit 0, the tag is not there"
