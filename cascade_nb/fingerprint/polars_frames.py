"""Openers for polars; imported when its first type is met. Chunks and sort flags do not count."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import polars as pl

from cascade_nb.fingerprint import arrow
from cascade_nb.fingerprint.kinds import Opened, derived, refuse

if TYPE_CHECKING:
    from cascade_nb.fingerprint.walker import Walker

refuse(pl.LazyFrame, reason="a plan may read files that it does not hold; collect it first")


@derived(pl.DataFrame)
def _frame(value: Any, walker: Walker) -> Opened:
    heads: list[bytes] = []
    children: list[Any] = []
    for column in value.get_columns():
        head, some = _content(column, walker)
        heads.append(b"%d %d " % (len(head), len(some)) + head)
        children += some
    return b"polars frame %d " % value.height + b"".join(heads), (type(value), *children)


@derived(pl.Series)
def _series(value: Any, walker: Walker) -> Opened:
    head, children = _content(value, walker)
    return b"polars series " + head, (type(value), *children)


def _content(series: Any, walker: Walker) -> Opened:
    if series.dtype == pl.Object:
        return b"objects", (series.name, tuple(series.to_list()))
    if series.dtype == pl.Categorical:
        # The numbers of its categories depend on what else this process has seen.
        head, children = arrow.content_of_chunks(series.cast(pl.String).to_arrow(), walker)
        return b"categorical " + head, (series.name, *children)
    head, children = arrow.content_of_chunks(series.to_arrow(), walker)
    return head, (series.name, series.dtype, *children)


@derived(pl.DataType, identity=False)
def _dtype(value: Any, walker: Walker) -> Opened:
    state = sorted(getattr(value, "__dict__", {}).items())
    return b"polars dtype", (type(value), tuple(state))
