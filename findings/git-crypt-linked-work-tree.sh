#!/usr/bin/env bash
# git-crypt 0.7.0 (Debian's package): it looks for its key in the folder of .git that git rev-parse --git-dir names. In a linked work
# tree that is another one, so git worktree add fails in every unlocked repository; a link to the key there is enough.
# Seen: git worktree add: smudge filter git-crypt failed; with a link to the key: secret
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
apt-get download --quiet git-crypt >/dev/null 2>&1 || { apt-get update -qq && apt-get download --quiet git-crypt >/dev/null; }
dpkg -x git-crypt_*.deb .
export PATH=$folder/usr/bin:$PATH
git-crypt --version 2>&1 | grep -q '0\.7\.0'
export HOME=$folder GIT_CONFIG_NOSYSTEM=1
git init --quiet repo
cd repo
git config user.name a
git config user.email a@example.org
git crypt init 2>/dev/null
echo '*.key filter=git-crypt diff=git-crypt' >.gitattributes
echo secret >a.key
git add -A
git commit --quiet -m data
said=$(git worktree add ../linked 2>&1 || true)
failed=$(grep -o 'smudge filter git-crypt failed' <<<"$said")
git worktree prune
git worktree add --quiet --no-checkout ../again
ln -s "$PWD/.git/git-crypt" .git/worktrees/again/git-crypt
git -C ../again checkout --quiet --force
echo "git worktree add: $failed; with a link to the key: $(cat ../again/a.key)"
test "$(cat ../again/a.key)" = secret
