"""Recorded output, shown again in the order in which the cell put it out."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from typing import Any

from cascade_nb.notebook.capture import WIDGET_VIEW

_MISSING = object()


def replay(shell: Any, events: Sequence[Sequence[Any]], values: Sequence[Any]) -> None:
    """Show what `events` record; `values` become ``Out[n]`` and ``_`` as their turn comes.

    Where fewer values than results are left, the rest is shown only.
    """
    following = iter(values)
    for kind, *parts in events:
        if kind == "stdout":
            sys.stdout.write(parts[0])
        elif kind == "stderr":
            sys.stderr.write(parts[0])
        elif kind == "display":
            data, metadata, transient, update = parts
            shell.display_pub.publish(
                data=_without_widgets(data), metadata=metadata, transient=transient, update=update
            )
        elif kind == "clear":
            shell.display_pub.clear_output(parts[0])
        elif kind == "payload":
            shell.payload_manager.write_payload(parts[0])
        elif kind == "result":
            _show_result(shell.displayhook, parts[0], parts[1], following)


def keep_results(shell: Any, values: Sequence[Any]) -> None:
    """Let ``Out[n]`` and ``_`` be the last of `values`, without showing anything."""
    for value in values:
        shell.displayhook.check_for_underscore()
        shell.displayhook.update_user_ns(value)


def _show_result(hook: Any, data: Any, metadata: Any, values: Iterator[Any]) -> None:
    """What IPython's displayhook does for a value, but with the data that it had then."""
    value = next(values, _MISSING)
    data = _without_widgets(data)
    captured = getattr(sys.displayhook, "outputs", None)
    if captured is not None:  # Under %%capture nothing stands beside Out[n].
        captured.append({"data": data, "metadata": metadata})
        return
    hook.check_for_underscore()
    hook.start_displayhook()
    hook.write_output_prompt()
    if value is not _MISSING:
        hook.update_user_ns(value)
        hook.fill_exec_result(value)
    if data:
        hook.write_format_data(data, metadata)
        hook.log_output(data)
    hook.finish_displayhook()


def _without_widgets(data: Any) -> dict[str, Any]:
    return {mime: content for mime, content in data.items() if mime != WIDGET_VIEW}
