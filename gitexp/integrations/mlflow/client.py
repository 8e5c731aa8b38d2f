"""An MLflow server, over its REST API.

Not through MLflow's own client: that weighs some 50 packages, takes seconds to import, and answers
an unreachable server with minutes of retries. The few calls that a mirror needs are a stable,
documented API (``/api/2.0/mlflow``), and httpx is here anyway. Every fault is one line. Credentials
go into a header and are never part of a message.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from itertools import chain
from typing import TYPE_CHECKING, Any, TypeVar
from urllib.parse import quote, urlsplit

from gitexp.formats import message
from gitexp.formats import mlflow_words as convert
from gitexp.formats.errors import GitexpError, UsageError
from gitexp.formats.experiment import MetricPoint
from gitexp.formats.trackers.mlflow import Stored
from gitexp.integrations.mlflow.login import Login

if TYPE_CHECKING:
    import httpx

TIMEOUT = 60.0  # seconds; a server under load answers a batch of 1,000 values in less than one
CONNECTING = 10.0
CONNECTIONS = 8  # at once
_PAGE = 1000
_BUSY = (429, 502, 503, 504)
_TRIES = 5
_LARGEST = 900_000  # characters of one request; MLflow takes a million
_FIRST = 0.2  # seconds before the second try
_LOGIN = "MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD, or MLFLOW_TRACKING_TOKEN"
_AT_ONCE = {"params": 100, "metrics": convert.METRICS_AT_ONCE, "tags": 100}
_T = TypeVar("_T")
Texts = Mapping[str, str]


class Refusal(GitexpError):
    """The server understood a request and refuses it; the others may still go well."""


class Server:
    """A connection to an MLflow server, at a ``uri`` as ``address`` returns it; its methods may be
    called from several threads. ``advice`` is the next step where it refuses who logs in."""

    def __init__(self, uri: str, who: Login | None = None, advice: str = "") -> None:
        import httpx

        self.uri = uri
        self._advice = advice or f"{'check' if who else 'set'} {_LOGIN}"
        headers = {"Authorization": f"Bearer {who.token}"} if who and who.token else {}
        try:
            self._client = httpx.Client(
                auth=(who.user, who.password) if who and not who.token else None,
                headers=headers,
                timeout=httpx.Timeout(TIMEOUT, connect=CONNECTING),
            )
        # a header of odd characters, a broken proxy or certificate setting
        except (UnicodeEncodeError, ValueError, OSError):
            raise UsageError(
                f"no connection to {uri} can be made with these settings; {self._advice}"
            ) from None

    def __enter__(self) -> Server:
        return self

    def __exit__(self, *_: object) -> None:
        self._client.close()

    # -- what there is -----------------------------------------------------------------------------

    def experiments(self) -> dict[str, str]:
        """Return ``{name: id}`` of its experiments."""
        asked = {"max_results": _PAGE}
        return dict(self._pages("experiments/search", asked, "experiments", _experiment))

    def runs(
        self, experiments: Sequence[str], condition: str, view: str = "ACTIVE_ONLY"
    ) -> Iterator[Stored]:
        """Yield the runs of experiments (their ids, which the runs name too) for which MLflow's
        filter holds; deleted ones where the view is ``ALL``."""
        for at in range(0, len(experiments), 100):
            asked: dict[str, Any] = {"experiment_ids": experiments[at : at + 100]}
            asked |= {"filter": condition, "max_results": _PAGE, "run_view_type": view}
            yield from self._pages("runs/search", asked, "runs", _run)

    def has_run(self, run: str) -> bool:
        """Whether there is a run of that id, be it deleted."""
        try:
            self._call("runs/get", {"run_id": run}, method="GET")
        except Refusal:
            return False
        return True

    def history(self, run: str, key: str) -> Iterator[tuple[float, int, int]]:
        """Yield ``(value, timestamp, step)`` for each point of a metric, values as MLflow's
        databases hold them."""
        asked = {"run_id": run, "metric_key": key}
        return self._pages("metrics/get-history", asked, "metrics", _point, "GET")

    def files(self, run: str, folder: str = "") -> Iterator[tuple[str, int]]:
        """Yield path and size in bytes of each artifact of a run."""
        asked = {"run_id": run, **({"path": folder} if folder else {})}
        for path, size, is_folder in self._pages("artifacts/list", asked, "files", _file, "GET"):
            if is_folder:
                yield from self.files(run, path)
            else:
                yield path, size

    def download(self, artifacts: str, path: str) -> bytes:
        """Return an artifact of a run whose artifacts go through the server; raise Refusal where
        they lie elsewhere."""
        return self._send("GET", self._artifact(artifacts, path)).content

    # -- what is written ---------------------------------------------------------------------------

    def create_experiment(self, name: str) -> str:
        """Make an experiment and return its id."""
        with self._as_expected():
            made = self._call("experiments/create", {"name": name}, again=False)
            return str(made["experiment_id"])

    def create_run(self, experiment: str, name: str, start: int, tags: Texts) -> tuple[str, str]:
        """Start a run at ``start`` (ms since the epoch) and return its id and where its artifacts
        go."""
        pairs = [{"key": key, "value": value} for key, value in tags.items()]
        asked = {"experiment_id": experiment, "start_time": start, "run_name": name, "tags": pairs}
        with self._as_expected():
            info = self._call("runs/create", asked, again=False)["run"]["info"]
            return str(info["run_id"]), str(info.get("artifact_uri", ""))

    def log(self, run: str, params: Texts, points: Iterable[MetricPoint], tags: Texts) -> None:
        """Log to a run, in as few calls as MLflow's limits allow; the tags come last, when all else
        is there."""
        for batch in batches(params, points, tags):
            self._call("runs/log-batch", {"run_id": run, **batch})

    def remove_tag(self, run: str, key: str) -> None:
        """Remove a tag from a run."""
        self._call("runs/delete-tag", {"run_id": run, "key": key}, again=False)

    def end_run(self, run: str, status: str, end: int) -> None:
        """End a run with MLflow's status at ``end`` (ms since the epoch)."""
        self._call("runs/update", {"run_id": run, "status": status, "end_time": end})

    def delete_run(self, run: str) -> None:
        """Put a run into the server's trash, from where MLflow can restore it."""
        self._call("runs/delete", {"run_id": run})

    def upload(self, artifacts: str, path: str, content: bytes) -> None:
        """Store a file of a run whose artifacts go through the server (``mlflow-artifacts:``, the
        default).

        Raises:
            Refusal: they go elsewhere (``s3:``, a folder of the server's), which needs MLflow
                itself.
        """
        self._send("PUT", self._artifact(artifacts, path), content=content)

    def _artifact(self, artifacts: str, path: str) -> str:
        parts = urlsplit(artifacts)
        if parts.scheme != "mlflow-artifacts":
            raise Refusal(
                f"the server keeps artifacts at '{message.one_line(artifacts)}', outside of itself;"
                " start it with --serve-artifacts"
            )
        return f"/api/2.0/mlflow-artifacts/artifacts/{quote(parts.path.strip('/'))}/{quote(path)}"

    # -- requests ----------------------------------------------------------------------------------

    def _pages(
        self,
        name: str,
        asked: Mapping[str, Any],
        key: str,
        read: Callable[[Mapping[str, Any]], _T],
        method: str = "POST",
    ) -> Iterator[_T]:
        """Yield what ``read`` makes of each item of a list, page by page."""
        page: dict[str, str] = {}
        while True:
            answer = self._call(name, {**asked, **page}, method=method)
            with self._as_expected():
                found = [read(item) for item in answer.get(key, ())]
            yield from found
            if not (token := answer.get("next_page_token")):
                return
            page = {"page_token": token}

    def _call(
        self, name: str, asked: Mapping[str, Any], again: bool = True, method: str = "POST"
    ) -> dict[str, Any]:
        more: dict[str, Any] = {"params": asked}
        if method == "POST":
            body = json.dumps(asked, ensure_ascii=False, allow_nan=False).encode("utf-8", "replace")
            more = {"content": body, "headers": {"Content-Type": "application/json"}}
        answer = self._send(method, f"/api/2.0/mlflow/{name}", again, **more)
        with self._as_expected():
            found: dict[str, Any] = {**answer.json()}
        return found

    @contextmanager
    def _as_expected(self) -> Iterator[None]:
        """Say that this is not an MLflow server where an answer is not what one answers."""
        try:
            yield
        except (KeyError, TypeError, ValueError, AttributeError):
            raise GitexpError(
                f"{self.uri} is not an MLflow server: it answers with something else; check the"
                " address"
            ) from None

    def _send(self, method: str, path: str, again: bool = True, **more: Any) -> httpx.Response:
        """Send a request until the server is not busy; ``again`` where doing it twice does no
        harm."""
        import httpx

        unreachable = httpx.ConnectError, httpx.ConnectTimeout, httpx.ProxyError
        for attempt in range(_TRIES):
            last = attempt == _TRIES - 1
            try:
                answer = self._client.request(method, f"{self.uri}{path}", **more)
                if last or answer.status_code not in _BUSY:
                    break
            except httpx.TransportError as error:
                if last or not again or isinstance(error, unreachable):
                    why = message.one_line(str(error)) or type(error).__name__
                    raise GitexpError(
                        f"no MLflow server answers at {self.uri}: {why}; check the address, and"
                        " that it runs"
                    ) from None
            except (httpx.InvalidURL, httpx.HTTPError) as error:
                raise GitexpError(
                    f"{self.uri} cannot be asked: {message.one_line(str(error))}; check the address"
                ) from None
            time.sleep(_FIRST * 2**attempt)
        self._check(answer)
        return answer

    def _check(self, answer: httpx.Response) -> None:
        code = answer.status_code
        if code in (401, 403):
            raise GitexpError(f"{self.uri} refused the login ({code}); {self._advice}")
        if 300 <= code < 400:
            to = message.one_line(answer.headers.get("location", "elsewhere"))
            raise GitexpError(f"{self.uri} redirects to {to}; use that address")
        if code >= 400:
            try:
                said = answer.json()
                why = f"{said['error_code']}: {said.get('message', '')}"
            except (ValueError, KeyError, TypeError, AttributeError):
                if code in _BUSY or code == 500:
                    raise GitexpError(
                        f"the MLflow server at {self.uri} is in trouble ({code}); try again later"
                    ) from None
                raise GitexpError(
                    f"{self.uri} is not an MLflow server: it answers {code}; check the address"
                ) from None
            raise Refusal(convert.cut(message.one_line(f"the server says {why}"), 300))


def _experiment(item: Mapping[str, Any]) -> tuple[str, str]:
    return str(item["name"]), str(item["experiment_id"])


def _run(item: Mapping[str, Any]) -> Stored:
    info, data = item["info"], item.get("data", {})
    tags, params = (
        {str(pair["key"]): str(pair.get("value", "")) for pair in data.get(kind, ())}
        for kind in ("tags", "params")
    )
    return Stored(
        id=info["run_id"],
        experiment=str(info.get("experiment_id", "")),
        name=str(info.get("run_name") or tags.get(convert.NAME) or info["run_id"][:8]),
        status=info.get("status", ""),
        start=int(info.get("start_time") or 0),
        end=int(info.get("end_time") or 0) or None,
        user=str(info.get("user_id", "")),
        artifacts=info.get("artifact_uri", ""),
        params=params,
        tags=tags,
        metrics=tuple(str(pair["key"]) for pair in data.get("metrics", ())),
        deleted=info.get("lifecycle_stage") == "deleted",
    )


def _point(item: Mapping[str, Any]) -> tuple[float, int, int]:
    return float(item["value"]), int(item.get("timestamp", 0)), int(item.get("step", 0))


def _file(item: Mapping[str, Any]) -> tuple[str, int, bool]:
    return str(item["path"]), int(item.get("file_size") or 0), bool(item.get("is_dir"))


def batches(
    params: Texts, points: Iterable[MetricPoint], tags: Texts
) -> Iterator[dict[str, list[dict[str, Any]]]]:
    """Yield the bodies of ``log-batch`` calls: within MLflow's limits of entities and size, params
    first and tags last."""
    batch: dict[str, list[dict[str, Any]]] = {}
    count = size = 0
    for kind, item in chain(
        (("params", {"key": key, "value": value}) for key, value in params.items()),
        (("metrics", convert.metric_json(point)) for point in points),
        (("tags", {"key": key, "value": value}) for key, value in tags.items()),
    ):
        long = kind != "metrics" and len(json.dumps(item, ensure_ascii=False))
        length = long or len(item["key"]) + 110
        full = len(batch.get(kind, ())) == _AT_ONCE[kind] or count == convert.ENTITIES_AT_ONCE
        if full or (batch and size + length > _LARGEST):
            yield batch
            batch, count, size = {}, 0, 0
        batch.setdefault(kind, []).append(item)
        count += 1
        size += length
    if batch:
        yield batch
