"""The tag of an experiment made again of its commit, where it was deleted and git collected it."""

from __future__ import annotations

import io
import json
from datetime import datetime

from gitexp.formats import environment, message, metrics, params
from gitexp.formats.errors import FormatError
from gitexp.repo import Repo, snapshot
from gitexp.store import artifacts, conditions, connectivity, record, result_paths
from gitexp.store.entry import Draft, Entry, placed, write_objects


def tag(repo: Repo, name: str, commit: str) -> None:
    """Make the tag of an experiment again. Only the old one said which labels were given at once,
    the branch, and which files of the work tree are artifacts.

    Raises:
        NotFoundError, FormatError: the commit or a file of it is not here, or cannot be read.
        GitError: the name is taken.
    """
    entry = _entry(repo, commit)
    with record.locked(repo) as fd:
        made = write_objects(repo, entry, name)
        repo.update_refs([f"create refs/tags/{name} {made.tag}"], "gitexp: doctor", [fd])
        record.remember(repo, [made])


def _entry(repo: Repo, commit: str) -> Entry:
    """Return what an experiment's commit says of it."""
    data = connectivity.check_present(repo, commit)
    head, _, text = data.decode("utf-8", "replace").partition("\n\n")
    said = message.trailers(text)
    headers = dict(line.split(" ", 1) for line in reversed(head.split("\n")) if line[:1] != " ")
    committer, moment, zone = headers["committer"].rsplit(" ", 2)
    project = said.get("Project", "")
    # where its results lie: a params.yml of the user's keeps ours in .gitexp/
    own = artifacts.listed(repo, commit, [project + result_paths.FOLDER])
    places = [
        aside if (aside := f"{project}{result_paths.FOLDER}/{name}") in own else project + name
        for name in (result_paths.PARAMS, result_paths.METRICS)
    ]
    values, rows = (repo.read_file(commit, path) for path in places)
    noted, packages = project + snapshot.OUTPUTS, project + environment.PATH
    try:
        outputs = json.loads(repo.read_file(commit, noted)) if noted in own else {}
        draft = Draft(
            id=said["Id"],
            params=params.load(values, places[0]),
            metrics=rows,
            last=metrics.last_of(io.BytesIO(rows), places[1]),
            started=message.parse_time(said["Started"]),
            files=result_paths.Places(places[0], places[1]),
            status=said["Status"],
            duration=float(said["Duration"].split()[0]) if "Duration" in said else None,
            title=text.partition("\n")[0],
            group=said.get("Group"),
            command=said.get("Command"),
            artifacts=dict.fromkeys({*own, *outputs} - {*places, noted, packages}, b""),
            extra={
                "error": said.get("Error"),
                "outputs": sorted(outputs),
                **conditions.of_trailers(said),
            },
            author=committer,
            recorded=datetime.fromtimestamp(int(moment), datetime.strptime(zone, "%z").tzinfo),
        )
    except (KeyError, ValueError, TypeError) as error:
        raise FormatError(f"the commit {commit[:10]} does not say what it was: {error}") from None
    return Entry(placed(draft, project), None, commit, headers.get("parent"))
