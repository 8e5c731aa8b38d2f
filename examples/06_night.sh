#!/bin/sh
# What an agent does in a night: reasons and verdicts, a judge that it cannot fake, and a merge of what helped.
set -eu
cd "$(mktemp -d)"
git init --quiet --initial-branch=main
cat > train.py <<'END'
width = 1


depth = 1


guesses = ["1"] * width * depth + ["0"] * (8 - width * depth)
open("guesses.txt", "w").write("\n".join(guesses))
print("score=1.0")  # so it says
END
cat > eval.py <<'END'
answers = open("answers.txt").read().split()
guesses = open("guesses.txt").read().split()
print(f"score={sum(a == b for a, b in zip(answers, guesses)) / len(answers)}")
END
printf '1\n1\n1\n1\n0\n0\n0\n0\n' > answers.txt
printf '[tool.gitexp]\nprotect = ["eval.py", "answers.txt"]\nadvance = false\n' > pyproject.toml
git add --all
git commit --quiet --message 'train and judge'

gitexp agent init AGENTS.md                      # what the agent reads
try() { gitexp run --judge 'python eval.py' --trusted main "$@" -- python train.py; }
try --because 'where we stand'
sed 's/width = 1/width = 2/' train.py > new && mv new train.py
try --because 'wider should help'
gitexp keep exp-2 --because 'better than exp-1'
git reset --quiet --hard                         # nothing of it is lost
sed 's/depth = 1/depth = 2/' train.py > new && mv new train.py
try --because 'deeper should help, too'
gitexp keep exp-3
git reset --quiet --hard
echo 'print("score=1.0")' > eval.py
try --because 'a better judge' || gitexp discard exp-4 --because 'it changed the judge'
git reset --quiet --hard

gitexp merge exp-2 exp-3 --metric judged.score --judge 'python eval.py' --trusted main --yes
gitexp list
gitexp tried --like exp-2
gitexp tree --metric judged.score
gitexp book BOOK.md --metric judged.score
cat BOOK.md
