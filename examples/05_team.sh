#!/bin/sh
# Two people and one git remote: nothing to install there. Each has an exp-1, and no name changes when the other's arrives.
set -eu
cd "$(mktemp -d)"
person() {  # DIRECTORY
    git clone --quiet remote.git "$1" 2>/dev/null  # git warns that it is empty
    git -C "$1" config user.name "$1"
    git -C "$1" config user.email "$1@example.org"
}

git init --quiet --bare --initial-branch=main remote.git
person ada
cd ada
echo 'print("training")' > train.py
git add train.py
git commit --quiet --message "Start"
git push --quiet origin HEAD:main
cd ..
person bob

cd ada
gitexp log --param lr=0.1 --metric rmse=19.7
gitexp push
cd ../bob
gitexp log --no-advance --param lr=0.01 --metric rmse=17.5    # beside the branch, where ada's has moved on
gitexp push

cd ../ada
gitexp pull
gitexp list --all
gitexp diff exp-1 bob/exp-1
