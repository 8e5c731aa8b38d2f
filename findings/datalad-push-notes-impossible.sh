#!/usr/bin/env bash
# DataLad 1.7.1: `datalad push` sends a ref that is neither branch nor tag (git's notes, by remote.NAME.push), calls that
# impossible and exits 1; git said "[new reference]". The second push exits 0.
# Seen: publish(impossible), exit 1, and the notes are on the sibling
set -euo pipefail
folder=$(mktemp -d)
trap 'chmod -R u+w "$folder"; rm -rf "$folder"' EXIT
cd "$folder"
"${PYTHON:-python3}" -m venv venv
venv/bin/pip install --quiet --disable-pip-version-check datalad==1.7.1 git-annex
export PATH="$PWD/venv/bin:$PATH" HOME="$PWD" GIT_CONFIG_NOSYSTEM=1
git config --global user.name Ada
git config --global user.email ada@example.org
git config --global init.defaultBranch main
datalad -l error create set >log 2>&1
git init --quiet --bare sibling
cd set
git notes add -m seen
datalad -l error siblings add -s origin --url "$folder/sibling" >log 2>&1
git config --add remote.origin.push refs/heads/main
git config --add remote.origin.push 'refs/notes/*:refs/notes/*'
code=0
datalad -l error push --to origin >../said 2>&1 || code=$?
[ "$code" = 1 ]
grep -q 'publish(impossible).*refs/notes/commits' ../said
git -C ../sibling rev-parse --quiet --verify refs/notes/commits >log
datalad -l error push --to origin >../said 2>&1
echo "publish(impossible), exit $code, and the notes are on the sibling"
