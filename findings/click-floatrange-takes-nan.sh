#!/usr/bin/env bash
# click 8.5.1: FloatRange(0, 1), the type that training scripts give a dropout or a threshold, takes NaN, which lies in no range; with
# clamp=True, too, which says that the value ends up within the bounds.
# Seen: nan: nan nan, exit code 0; 2: exit code 2
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
"${PYTHON:-python3}" -m venv venv
venv/bin/pip install --quiet --disable-pip-version-check click==8.5.1
cat >script.py <<'END'
import click
from click.testing import CliRunner


@click.command()
@click.option("--dropout", type=click.FloatRange(0, 1), default=0.1)
@click.option("--share", type=click.FloatRange(0, 1, clamp=True), default=0.1)
def train(dropout, share):
    click.echo(f"{dropout} {share}")


odd = CliRunner().invoke(train, ["--dropout", "nan", "--share", "nan"])
far = CliRunner().invoke(train, ["--dropout", "2"])
print(f"nan: {odd.output.strip()}, exit code {odd.exit_code}; 2: exit code {far.exit_code}")
assert (odd.output, odd.exit_code, far.exit_code) == ("nan nan\n", 0, 2)
END
venv/bin/python script.py
