"""Images, tables and confusion matrices as PNG and CSV files, made by the libraries that
they come from."""

from __future__ import annotations

import io
from typing import Any

from gitexp.formats.errors import UsageError
from gitexp.formats.extras import needed
from gitexp.formats.message import each
from gitexp.store import artifacts

_CHANNELS = (1, 3, 4)


def png(image: Any) -> bytes:
    """Return an image as a PNG file.

    Args:
        image: one of Pillow, a Matplotlib figure, or an array or tensor of height × width (×
            channels, which may also come first): whole numbers up to 255, or floats from 0 to 1.

    Raises:
        UsageError: it is none of these.
        MissingExtraError: Pillow is not installed.
    """
    if hasattr(image, "savefig"):
        return artifacts.rendered(image, "figure.png")
    if not hasattr(image, "getbands"):
        image = _from_array(image)
    buffer = io.BytesIO()
    known = ("1", "L", "LA", "I", "I;16", "P", "RGB", "RGBA")
    (image if image.mode in known else image.convert("RGB")).save(buffer, "PNG")
    return buffer.getvalue()


def _from_array(image: Any) -> Any:
    pillow = needed("PIL.Image", "log_image", "report")
    import numpy as np

    tensor = image.detach().cpu() if hasattr(image, "detach") else image
    array = np.asarray(tensor)
    if array.ndim == 3 and array.shape[0] in _CHANNELS and array.shape[2] not in _CHANNELS:
        array = array.transpose(1, 2, 0)
    array = array[:, :, 0] if array.ndim == 3 and array.shape[2] == 1 else array
    shaped = array.ndim == 2 or (array.ndim == 3 and array.shape[2] in _CHANNELS)
    if not shaped or not array.size or array.dtype.kind not in "buif":
        raise UsageError(
            "an image must be Pillow's, a Matplotlib figure, or an array of height × width (× 1, 3"
            f" or 4 channels), not {type(image).__name__} of shape {array.shape}"
        )
    least, most = float(np.nanmin(array)), float(np.nanmax(array))
    limit = 1 if array.dtype.kind in "bf" else 255
    if least < 0 or most > limit:
        raise UsageError(
            f"an image's values must lie between 0 and {limit}, not between {least:g} and {most:g};"
            " scale it first"
        )
    scaled = np.nan_to_num(array.astype(float)) * (255 if limit == 1 else 1)
    return pillow.fromarray(scaled.round().astype(np.uint8))


def csv(table: Any) -> bytes:
    """Return a table as a CSV file: a DataFrame, a mapping of columns, or a list of mappings.

    Raises:
        UsageError: it is none of these.
    """
    import pandas as pd

    try:
        frame = table if isinstance(table, pd.DataFrame) else pd.DataFrame(table)
    except (ValueError, TypeError) as error:
        raise UsageError(
            "a table must be a DataFrame, a mapping of columns or a list of mappings, not"
            f" {type(table).__name__}: {error}"
        ) from None
    usual = isinstance(frame.index, pd.RangeIndex)
    return bytes(frame.to_csv(index=not usual, lineterminator="\n").encode("utf-8", "replace"))


def confusion(true: Any, predicted: Any, labels: Any = None) -> dict[str, bytes]:
    """Return the confusion matrix of predictions, ``{"png": an image, "csv": a table}``: a row for
    each true class.

    Raises:
        UsageError: the two do not fit together.
        MissingExtraError: scikit-learn or Matplotlib is not installed.
    """
    metrics = needed("sklearn.metrics", "log_confusion_matrix", "demo")
    figures = needed("matplotlib.figure", "log_confusion_matrix", "report")
    import pandas as pd

    try:
        names = None if labels is None else each(labels)
        matrix = metrics.confusion_matrix(true, predicted, labels=names)
        names = names or sorted({*map(_plain, true), *map(_plain, predicted)})
    except (ValueError, TypeError) as error:
        raise UsageError(f"no confusion matrix can be made of these: {error}") from None
    figure = figures.Figure(layout="constrained")
    shown = metrics.ConfusionMatrixDisplay(matrix, display_labels=names)
    shown.plot(ax=figure.subplots(), cmap="Blues", colorbar=False)
    table = pd.DataFrame(matrix, pd.Index(names, name="true"), pd.Index(names, name="predicted"))
    return {"png": png(figure), "csv": csv(table)}


def _plain(value: Any) -> Any:
    return value.item() if hasattr(value, "item") else value
