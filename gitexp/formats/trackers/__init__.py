"""One small reader for each tool that leaves runs on disk: from a file to its runs."""

from __future__ import annotations

import os
from pathlib import Path


def homes() -> list[tuple[str, Path]]:
    """Return the folders of a person, each with its tool, that tools write to by themselves."""
    cache = os.environ.get("HF_HOME") or "~/.cache/huggingface"
    places = (
        ("trackio", os.environ.get("TRACKIO_DIR") or f"{cache}/trackio"),
        ("goodseed", os.environ.get("GOODSEED_HOME") or "~/.goodseed"),
        ("clearml", "~/.clearml/cache/offline"),
        ("guild", os.environ.get("GUILD_HOME") or "~/.guild"),
        ("ray", "~/ray_results"),
    )
    there = ((tool, Path(os.path.expanduser(place))) for tool, place in places)
    return [(tool, place) for tool, place in there if place.is_dir()]
