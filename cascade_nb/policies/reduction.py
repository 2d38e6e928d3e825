"""What is shown of a cell whose signer is trusted with data only: text, and images of pixels.

HTML, SVG, Markdown and JavaScript can drive a kernel from the page that shows them, and what sets
the next input runs as soon as somebody presses a key. Everything is built anew here, part by part,
so that nothing unknown comes through.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from cascade_nb.wording import one_line

_TEXT = "text/plain"
_IMAGES = ("image/png", "image/jpeg", "image/gif", "image/webp")
_BASE64 = re.compile(r"[A-Za-z0-9+/=\s]*")
# Terminals obey more than colours and the cursor's moves: the clipboard, titles, answers as input.
_ESCAPES = re.compile(r"\x1b(?!\[[0-9;]*[A-HJKSTfm])|[\x80-\x9f]")


def reduced(displays: Sequence[Any]) -> list[Any]:
    """The recorded output of a cell, as far as it can do no harm; in the recorder's format."""
    kept = (_reduced_event(event) for event in displays)
    return [event for event in kept if event is not None]


def _reduced_event(event: Any) -> list[Any] | None:
    match event:
        case ["stdout" | "stderr" as stream, str(text)]:
            return [stream, _plain(text)]
        case ["display", dict(data), metadata, transient, update]:
            names = transient if isinstance(transient, dict) else {}
            display_id = names.get("display_id")
            known = {"display_id": display_id} if isinstance(display_id, str) else {}
            return ["display", _bundle(data), _sizes(metadata), known, update is True]
        case ["result", dict(data), metadata]:
            return ["result", _bundle(data), _sizes(metadata)]
        case ["clear", wait]:
            return ["clear", wait is True]
        case _:
            return None


def _bundle(data: Mapping[str, Any]) -> dict[str, str]:
    kept = {mime: data[mime] for mime in _IMAGES if _is_base64(data.get(mime))}
    text = data.get(_TEXT)
    if isinstance(text, str):
        kept[_TEXT] = _plain(text)
    if data and not kept:
        others = ", ".join(sorted(str(mime) for mime in data))
        kept[_TEXT] = (
            f"[{one_line(others, 80)}: not shown, as its signer is trusted with data only]"
        )
    return kept


def _is_base64(image: Any) -> bool:
    return isinstance(image, str) and _BASE64.fullmatch(image) is not None


def _sizes(metadata: Any) -> dict[str, dict[str, float]]:
    """Width and height of images; all else in metadata is for tools and extensions."""
    sizes: dict[str, dict[str, float]] = {}
    for mime in _IMAGES:
        given = metadata.get(mime) if isinstance(metadata, dict) else None
        if isinstance(given, dict):
            for side in ("width", "height"):
                length = given.get(side)
                if isinstance(length, int | float):
                    sizes.setdefault(mime, {})[side] = float(length)
    return sizes


def _plain(text: str) -> str:
    return _ESCAPES.sub("\ufffd", text)
