"""A marked block in a text file, a README say, that is replaced whenever there is something new."""

from __future__ import annotations

import re


def replaced(text: str, metric: str, table: str) -> str:
    """Return a file's text with the leaderboard of a metric brought up to date; one that has none
    gets it at the end."""
    name = re.sub(r"-{2,}|[<>]", "-", metric)  # what would end the comment
    start, end = f"<!-- gitexp:leaderboard {name} -->", "<!-- /gitexp:leaderboard -->"
    block = f"{start}\n{table}\n{end}"
    pattern = re.compile(f"{re.escape(start)}.*?{re.escape(end)}", re.DOTALL)
    if pattern.search(text):
        return pattern.sub(lambda _: block, text, count=1)
    return f"{text.rstrip()}\n\n{block}\n" if text.strip() else f"{block}\n"
