"""What is left of a cell's recorded output where its signer is trusted with data only."""

from __future__ import annotations

from typing import Any

import pytest

from cascade_nb.policies.reduction import reduced

PNG = "iVBORw0KGgo="
HTML = {"text/html": "<b>x</b><script>kernel.execute('1')</script>", "text/plain": "x"}


def shown(data: Any, metadata: Any = None) -> Any:
    ((_, data, metadata, _, _),) = reduced([["display", data, metadata or {}, {}, False]])
    return data, metadata


def test_text_and_images_of_pixels_stay() -> None:
    events = [
        ["stdout", "50%\r100%\n\x1b[31mred\x1b[0m\x1b[2K"],
        ["stderr", "oh"],
        ["clear", True],
        ["display", {"image/png": PNG, "text/plain": "<Figure>"}, {}, {}, False],
        ["display", {"text/plain": "y"}, {}, {"display_id": "a"}, True],
        ["result", {"text/plain": "1", "image/jpeg": PNG}, {"image/jpeg": {"width": 3.0}}],
        ["result", {}, {}],
    ]
    assert reduced(events) == events


@pytest.mark.parametrize(
    "mime",
    [
        "text/html",
        "image/svg+xml",
        "application/javascript",
        "text/markdown",
        "text/latex",
        "application/json",
        "application/pdf",
        "application/vnd.jupyter.widget-view+json",
        "application/vnd.plotly.v1+json",
        "application/geo+json",
        "TEXT/HTML",
        "image/PNG",
    ],
)
def test_what_a_page_may_run_goes(mime: str) -> None:
    assert shown({mime: "x", "text/plain": "y"})[0] == {"text/plain": "y"}
    assert shown({mime: "x"})[0] == {
        "text/plain": f"[{mime}: not shown, as its signer is trusted with data only]"
    }


def test_what_says_nothing_says_so_in_one_harmless_line() -> None:
    data, _ = shown({"a\n\x1b]0;b\x07" + "x" * 500: ""})
    assert data["text/plain"].isprintable()
    assert len(data["text/plain"]) < 200


@pytest.mark.parametrize("image", ["<svg onload='x'>", b"png", 3, None, ["x"]])
def test_an_image_is_base64(image: Any) -> None:
    assert shown({"image/png": image, "text/plain": "y"})[0] == {"text/plain": "y"}


def test_of_metadata_the_size_of_images_stays() -> None:
    metadata = {
        "image/png": {"width": 3, "height": 4.5, "onclick": "x", "unconfined": True},
        "text/html": {"isolated": False},
        "cascade": {"status": "hit"},
    }
    assert shown({"image/png": PNG}, metadata)[1] == {"image/png": {"width": 3, "height": 4.5}}
    assert shown({"image/png": PNG}, [1])[1] == {}
    assert shown({"image/png": PNG}, {"image/png": {"width": "1;x"}})[1] == {}


def test_only_the_display_id_stays_of_what_is_transient() -> None:
    transient = {"display_id": "a", "cascade": 1}
    ((*_, kept, _),) = reduced([["display", HTML, {}, transient, False]])
    assert kept == {"display_id": "a"}
    ((*_, kept, _),) = reduced([["display", HTML, {}, {"display_id": {"x": 1}}, False]])
    assert kept == {}


@pytest.mark.parametrize(
    "event",
    [
        ["payload", {"source": "set_next_input", "text": "evil()"}],
        ["payload", {"source": "page", "data": HTML}],
        ["unknown", "x"],
        ["stdout", 3],
        ["stdout"],
        ["display", "x", {}, {}, False],
        ["display", HTML],
        ["result", None, {}],
        [],
        "stdout",
        None,
    ],
)
def test_what_is_unknown_or_drives_a_front_end_goes(event: Any) -> None:
    assert reduced([event, ["stdout", "x"]]) == [["stdout", "x"]]


@pytest.mark.parametrize(
    "text",
    ["\x1b]52;c;ZXZpbA==\x07", "\x1bP+q\x1b\\", "\x1b[6n", "\x1b[>c", "\x9d52;c;x\x07", "\x1bc"],
)
def test_a_terminal_is_told_no_more_than_colours_and_moves(text: str) -> None:
    ((_, kept),) = reduced([["stdout", text]])
    assert "\x1b" not in kept
    assert "\x9d" not in kept
    assert "\x1b" not in shown({"text/plain": text})[0]["text/plain"]
