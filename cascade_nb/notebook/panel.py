"""The session panel of `%cascade`: one set of widgets, made at first use and shown again after.

Widgets are never collected, so a session has one panel, whose models are closed by hand. It is
brought up to date after a cell in which something changed, and by its button.
"""

from __future__ import annotations

import html
from typing import Any

from cascade_nb.notebook import ledger as ledgers
from cascade_nb.notebook.badge import COLOURS, LONGEST_REASON
from cascade_nb.notebook.ledger import Ledger, Row
from cascade_nb.units import human_size
from cascade_nb.wording import one_line

# What a browser lays out at once without being felt; the text table has all.
_MOST_ROWS = 100

_STYLE = (
    "<style>"
    ".cascade-nb{font:var(--jp-ui-font-size1,13px)/1.5 var(--jp-ui-font-family,sans-serif);"
    "color:var(--jp-ui-font-color1,inherit);max-height:26em;overflow:auto}"
    ".cascade-nb table{border-collapse:collapse}"
    ".cascade-nb th,.cascade-nb td{padding:1px 10px 1px 0;text-align:left;vertical-align:top;"
    "white-space:nowrap}"
    ".cascade-nb .n{text-align:right}"
    ".cascade-nb td:last-child{white-space:normal}"
    ".cascade-nb code{-webkit-user-select:all;user-select:all;background:none;color:inherit;"
    "display:inline-block;max-width:16ch;overflow:hidden;text-overflow:ellipsis;"
    "white-space:nowrap;font-family:var(--jp-code-font-family,monospace)}"
    "</style>"
)
_HEADER = ("status", "name", "kind", "CID", "size", "time", "runs", "reason")
_NUMBERS = {"size", "runs"}

_panel: Panel | None = None


def show(shell: Any) -> None:
    """Show the session under the running cell: the panel, or its text where no widgets are."""
    global _panel
    ledger = ledgers.session()
    if not _can_show_widgets(shell):
        print(ledgers.as_text(ledger))
        return
    if _panel is not None and _panel.closed:
        close(shell)
    if _panel is None:
        _panel = Panel(ledger)
        shell.events.register("post_run_cell", _after_cell)
    _panel.show()


def close(shell: Any) -> None:
    """Close the panel, if there is one, with every model of its widgets."""
    global _panel
    if _panel is not None:
        shell.events.unregister("post_run_cell", _after_cell)
        _panel.close()
        _panel = None


class Panel:
    """The widgets that show one ledger: totals, a table of the rows, a button to refresh."""

    def __init__(self, ledger: Ledger) -> None:
        import ipywidgets

        self._ledger = ledger
        self._shown = -1
        self._totals = ipywidgets.HTML()
        self._table = ipywidgets.HTML()
        self._button = ipywidgets.Button(
            description="Refresh", tooltip="Show what has run since", icon="refresh"
        )
        self._button.on_click(self._refresh)
        self._box = ipywidgets.VBox([self._totals, self._table, self._button])

    @property
    def closed(self) -> bool:
        """Whether somebody closed the panel's models, as `Widget.close_all` does."""
        return self._box.comm is None

    def show(self) -> None:
        """Show the panel, up to date, under the running cell."""
        from IPython.display import display

        self.update()
        bundle = self._box._repr_mimebundle_()
        # For whoever shows no widgets, such as a page without a kernel.
        bundle["text/plain"] = ledgers.as_text(self._ledger)
        display(bundle, raw=True)  # type: ignore[no-untyped-call]

    def update(self) -> None:
        """Show what the ledger holds now; costs next to nothing where that is shown already."""
        changes = self._ledger.changes
        if changes == self._shown or self.closed:
            return
        self._shown = changes
        self._totals.value = totals_html(self._ledger)
        self._table.value = table_html(self._ledger.rows())

    def close(self) -> None:
        """Close every model: a widget's own closing leaves its layout and style behind."""
        for widget in (self._totals, self._table, self._button, self._box):
            for part in (widget.layout, getattr(widget, "style", None), widget):
                if part is not None:
                    part.close()

    def _refresh(self, _button: Any) -> None:
        self.update()


def totals_html(ledger: Ledger) -> str:
    """The panel's header."""
    return f"<b>cascade</b> · {html.escape(str(ledger.totals()))}"


def table_html(rows: list[Row]) -> str:
    """The panel's table; it scrolls by keyboard, and a click selects a whole CID."""
    if not rows:
        return f"<div>{html.escape(ledgers.NOTHING_YET)}</div>"
    head = "".join(
        f'<th scope="col"{_number_class(name)}>{html.escape(name)}</th>' for name in _HEADER
    )
    body = "".join(map(_row_html, rows[:_MOST_ROWS]))
    hidden = len(rows) - _MOST_ROWS
    more = f"<div>and {hidden:,} that ran before</div>" if hidden > 0 else ""
    return (
        f'{_STYLE}<div class="cascade-nb" tabindex="0" role="region" '
        f'aria-label="Cached cells and functions of this session">'
        f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>{more}</div>"
    )


def _row_html(row: Row) -> str:
    cells = (
        f'<b style="color:{COLOURS[row.status]}">{row.status.value}</b>',
        html.escape(one_line(row.name, 60)),
        row.kind.value,
        f'<code title="{row.cid}">{row.cid}</code>' if row.cid else "",
        "" if row.size is None else human_size(row.size),
        row.spent,
        str(row.runs),
        html.escape(one_line(row.reason, LONGEST_REASON)),
    )
    columns = zip(_HEADER, cells, strict=True)
    return f"<tr>{''.join(f'<td{_number_class(n)}>{cell}</td>' for n, cell in columns)}</tr>"


def _number_class(name: str) -> str:
    return ' class="n"' if name in _NUMBERS else ""


def _can_show_widgets(shell: Any) -> bool:
    """Whether there is a page with widgets behind `shell`."""
    if not hasattr(shell, "kernel"):
        return False
    try:
        import ipywidgets  # noqa: F401 - only asked whether it is there
    except ImportError:
        return False
    return True


def _after_cell(_result: Any) -> None:
    if _panel is not None:
        _panel.update()
