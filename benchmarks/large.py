"""What a repository of very many experiments costs, made by ``git fast-import`` with packed tags.

    python benchmarks/large.py 100000 [FOLDER]

FOLDER is kept, and used again where it holds the repository already. Each act is a process of its
own and done once; a table of seconds (of the clock and of processors) and peak memory is printed.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
import time
from pathlib import Path

import measuring
import repositories


def took(what: str, root: Path, *command: str) -> None:
    """Do something once and print a row."""
    clock, processor = time.perf_counter(), measuring.spent()
    size = measuring.peak(root, *command)
    spent = (measuring.spent() - processor) / 1000
    print(
        f"| {what} | {time.perf_counter() - clock:.1f} | {spent:.1f} | {size / 1e6:.0f} |",
        flush=True,
    )


def kilobytes(path: Path) -> int:
    """Return what a file or folder takes."""
    done = subprocess.run(["du", "-sk", str(path)], capture_output=True, text=True, check=True)
    return int(done.stdout.split()[0])


def main(count: int, folder: Path) -> None:
    """Measure in a folder."""
    root, remote = folder / "large", folder / "remote.git"
    if not root.exists():
        repositories.build(root, count)
    remote_url = f"file://{remote}"
    gitexp = measuring.GITEXP
    (root / ".git/gitexp/index.sqlite").unlink(missing_ok=True)
    print(f"| act, {count:,} experiments | s | s of processors | peak MB |\n|---|--:|--:|--:|")
    took("the index made, and `gitexp list -n 20`", root, *gitexp, "list", "-n", "20")
    took("`gitexp list -n 20`", root, *gitexp, "list", "-n", "20")
    took(
        "`gitexp list --where 'rmse < 0.05' --sort loss -n 20`",
        root,
        *gitexp,
        "list",
        "--where",
        "rmse < 0.05",
        "--sort",
        "loss",
        "-n",
        "20",
    )
    took("`gitexp list`, the first time", root, *gitexp, "list")
    took("`gitexp list` of all", root, *gitexp, "list")
    took("`gitexp show @`", root, *gitexp, "show", "@")
    took("`gitexp log -M a=1`", root, *gitexp, "log", "-M", "a=1")
    took("`git log -20 --decorate`", root, "git", "log", "-20", "--decorate")
    exclude = "log.excludeDecoration=refs/tags/exp-*"
    took(
        "the same with `log.excludeDecoration`",
        root,
        "git",
        "-c",
        exclude,
        "log",
        "-20",
        "--decorate",
    )
    subprocess.run(["git", "init", "-q", "--bare", str(remote)], check=True)
    repositories.git(root, "remote", "add", "origin", remote_url)
    repositories.git(root, "push", "-q", "origin", "main")
    took("`gitexp push` of all, by the gathering branch", root, *gitexp, "push")
    repositories.git(root, "commit", "-q", "--allow-empty", "-m", "more")
    measuring.command("log", "-M", "a=2", cwd=root)()
    took("`gitexp push` of one", root, *gitexp, "push")
    took("`gitexp pull`, nothing new", root, *gitexp, "pull")
    tags = folder / "tags.git"
    subprocess.run(["git", "init", "-q", "--bare", str(tags)], check=True)
    took("`git push` of all tags instead", root, "git", "push", "-q", f"file://{tags}", "--tags")
    repositories.git(root, "tag", "one-more")
    took(
        "`git push` of one tag to such a remote",
        root,
        "git",
        "push",
        "-q",
        f"file://{tags}",
        "one-more",
    )
    took("`git fetch` from it, nothing new", root, "git", "fetch", "-q", f"file://{tags}", "main")
    print("\n| on disk | MB |\n|---|--:|")
    for name, path in (
        ("packs", root / ".git/objects"),
        ("packed-refs", root / ".git/packed-refs"),
        ("the index of experiments", root / ".git/gitexp/index.sqlite"),
        ("the remote of the gathering branch", remote),
    ):
        print(f"| {name} | {kilobytes(path) / 1000:,.0f} |")


if __name__ == "__main__":
    main(int(sys.argv[1]), Path(sys.argv[2] if len(sys.argv) > 2 else tempfile.mkdtemp()))
