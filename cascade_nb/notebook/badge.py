"""The badge: one line under a cell that says what the cache did for it.

It is a plain display, not a widget: widgets are never collected, and a page without a kernel could
not show them. Its metadata tells tools that it is a badge, so that they can strip it.
"""

from __future__ import annotations

import html
import time
from typing import Any

from cascade_nb.records import Entry
from cascade_nb.tasks import Report, Status
from cascade_nb.units import human_seconds, human_size
from cascade_nb.wording import one_line, time_spent

METADATA_KEY = "cascade"

_SEPARATOR = " · "
# With room for a command that trusts a key.
LONGEST_REASON = 400
# JupyterLab's own colours where it is JupyterLab, else ones that are seen on white and on black.
COLOURS = {
    Status.HIT: "var(--jp-success-color1,#3a9a4b)",
    Status.MISS: "var(--jp-info-color1,#1e88c9)",
    Status.BYPASS: "var(--jp-warn-color1,#d9822b)",
    Status.FAILED: "var(--jp-error-color1,#d64545)",
    Status.INTERRUPTED: "var(--jp-error-color1,#d64545)",
    Status.OFF: "var(--jp-layout-color4,#8a8a8a)",
}
_LINE_STYLE = (
    "font:var(--jp-ui-font-size1,13px)/1.6 var(--jp-ui-font-family,system-ui,sans-serif);"
    "color:var(--jp-ui-font-color1,inherit);padding:0 8px;overflow-wrap:anywhere"
)
_CID_STYLE = (
    "-webkit-user-select:all;user-select:all;cursor:text;background:none;color:inherit;padding:0;"
    "font-family:var(--jp-code-font-family,monospace);font-size:0.92em"
)


def show(report: Report) -> None:
    """Show the badge of `report` under the running cell; a plain line where there is no kernel."""
    from IPython.core.getipython import get_ipython
    from IPython.display import display

    bundle = mimebundle(report)
    if hasattr(get_ipython(), "kernel"):
        display(bundle, raw=True, metadata={METADATA_KEY: as_data(report)})  # type: ignore[no-untyped-call]
    else:
        print(bundle["text/plain"])


def mimebundle(report: Report) -> dict[str, str]:
    """The badge as one line of text/plain and one of text/html."""
    status, name, cid, facts = _said(report)
    plain = [status, name, cid, *facts]
    rich = [
        f"<b>{html.escape(status)}</b>",
        html.escape(name),
        f'<code style="{_CID_STYLE}">{html.escape(cid)}</code>' if cid else "",
        *map(html.escape, facts),
    ]
    style = f"{_LINE_STYLE};border-left:3px solid {COLOURS[report.status]}"
    title = html.escape(_title(report))
    return {
        "text/plain": _SEPARATOR.join(filter(None, plain)),
        "text/html": f'<div style="{style}" title="{title}">'
        f"{_SEPARATOR.join(filter(None, rich))}</div>",
    }


def shown_entry(report: Report) -> Entry | None:
    """The result that people are told of: only what was served or stored has one."""
    return report.entry if report.status in (Status.HIT, Status.MISS) else None


def as_data(report: Report) -> dict[str, Any]:
    """`report` as plain data that JSON can hold."""
    entry = shown_entry(report)
    return {
        "task_id": report.task_id,
        "name": report.name,
        "kind": report.kind.value,
        "status": report.status.value,
        "reason": report.reason,
        "key": entry.key if entry else None,
        "cid": entry.cid if entry else None,
        "size": entry.size if entry else None,
        "seconds": report.seconds,
        "saved": report.saved,
        "signer": report.signer,
    }


def _said(report: Report) -> tuple[str, str, str, list[str]]:
    """What stands on a badge: status, name, CID or "", and the rest in order."""
    entry = shown_entry(report)
    facts = [human_size(entry.size)] if entry else []
    facts.append(time_spent(report.status, seconds=report.seconds, saved=report.saved))
    if report.signer:
        facts.append(f"from {one_line(report.signer, 120)}")
    if report.reason and report.status is not Status.HIT:
        facts.append(one_line(report.reason, LONGEST_REASON))
    return report.status.value, one_line(report.name, 60), entry.cid if entry else "", facts


def _title(report: Report) -> str:
    entry = shown_entry(report)
    if entry is None:
        return "nothing was stored"
    created = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(entry.created))
    said = [
        f"key {entry.key}",
        f"computed {created} in {human_seconds(entry.seconds)}",
        "kept for good" if entry.ttl is None else f"kept for {human_seconds(entry.ttl)}",
    ]
    if entry.outputs:
        said.append("outputs " + ", ".join(one_line(o.name, 40) for o in entry.outputs))
    if entry.needs_code:
        said.append("stored as code")
    return "; ".join(said)
