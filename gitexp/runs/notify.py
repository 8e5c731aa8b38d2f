"""A word when a run ends: to a command, a webhook or the terminal.

Where it goes is said by the user: ``--notify``, else the settings. The address of a webhook is the
name of a variable of the environment, never the address itself, which is a secret and would be in
git. A fault of it is told and is none of the run's.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
from collections.abc import Mapping, Sequence
from typing import Any

from gitexp.formats.errors import UsageError

BELL = "bell"
_PATIENCE = 10  # seconds
_WEBHOOK = re.compile(r"webhook:([A-Za-z_]\w*)")


def check(targets: Sequence[str]) -> None:
    """Raise UsageError where a target cannot be told anything."""
    for target in targets:
        if re.match(r"(webhook:)?https?://", target):
            raise UsageError(
                "the address of a webhook is a secret: put it into a variable of the environment,"
                " and write its name: --notify webhook:GITEXP_WEBHOOK"
            )
        match = _WEBHOOK.fullmatch(target)
        if match and not os.environ.get(match[1], "").startswith(("http://", "https://")):
            raise UsageError(f"${match[1]} holds no address; set it to where the webhook listens")
        if not target.strip() or (target.startswith("webhook:") and not match):
            raise UsageError(
                f"'{target}' is nothing to notify; write bell, webhook:VARIABLE or a command"
            )


def tell(targets: Sequence[str], facts: Mapping[str, Any]) -> list[str]:
    """Tell all targets how a run ended, and return what went wrong. ``bell`` is the caller's.

    A command gets the facts as JSON on its standard input, and as variables: GITEXP_NAME,
    GITEXP_STATUS, GITEXP_EXPERIMENT...
    """
    faults = []
    for target in targets:
        if target == BELL:
            continue
        try:
            match = _WEBHOOK.fullmatch(target)
            if match:
                _post(os.environ[match[1]], facts)
            else:
                _call(target, facts)
        except Exception as error:  # whatever a library raises, the run is over and recorded
            what = "the webhook" if match else f"'{target}'"
            faults.append(f"{what} was not told: {_without_address(error)}")
    return faults


def text_of(facts: Mapping[str, Any]) -> str:
    """Return how a run ended, in a line."""
    values = ", ".join(f"{name}={value:.6g}" for name, value in list(facts["metrics"].items())[:3])
    why = f": {facts['error']}" if facts.get("error") else ""
    return f"{facts['name'] or 'a run'} {facts['status']}{why}" + (f" ({values})" if values else "")


def _call(command: str, facts: Mapping[str, Any]) -> None:
    words = {f"GITEXP_{key.upper()}": str(facts[key] or "") for key in ("name", "status", "error")}
    shell = ["sh", "-c", command] if os.name == "posix" else ["cmd", "/c", command]
    env = {**os.environ, **words, "GITEXP_TEXT": text_of(facts)}
    done = subprocess.run(
        shell, input=json.dumps(facts).encode(), env=env, timeout=_PATIENCE, capture_output=True
    )
    if done.returncode:
        raise OSError(f"it ended with {done.returncode}")


def _post(address: str, facts: Mapping[str, Any]) -> None:
    import httpx

    finite = json.loads(json.dumps(facts), parse_constant=str)
    body = {"text": text_of(facts), **finite}  # text is what Slack and its like show
    httpx.post(address, json=body, timeout=_PATIENCE).raise_for_status()


def _without_address(error: Exception) -> str:
    response = getattr(error, "response", None)
    if response is not None:
        return f"it answered {response.status_code}"
    return re.sub(r"https?://\S+", "…", str(error)) or type(error).__name__
