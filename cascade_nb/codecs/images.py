"""PIL's images in memory, as raw pixels; those that still belong to a file are left to code."""

from __future__ import annotations

from typing import Any

import PIL.Image

from cascade_nb.codecs.reader import Reader, copied
from cascade_nb.codecs.refusal import UnknownTypeError, step
from cascade_nb.codecs.tree import IMAGES, Kind, register
from cascade_nb.codecs.writer import Writer
from cascade_nb.errors import CodecError

Image: Any = PIL.Image

_OWN = {"_im", "im", "_mode", "_size", "palette", "info", "_readonly", "readonly", "pyaccess"}
# Bits of a pixel in memory as `tobytes` gives it.
_BITS = {
    "1": 1,
    **dict.fromkeys(("L", "P"), 8),
    **dict.fromkeys(("LA", "PA", "La", "I;16", "I;16L", "I;16B", "I;16N"), 16),
    **dict.fromkeys(("RGB", "YCbCr", "LAB", "HSV"), 24),
    **dict.fromkeys(("RGBA", "RGBX", "RGBa", "CMYK", "I", "F"), 32),
}
_WITH_PALETTE = ("P", "PA")
_PALETTES = ("RGB", "RGBA")


def _size_of(mode: str, width: int, height: int) -> int:
    return (width * _BITS[mode] + 7) // 8 * height


def _write_image(writer: Writer, image: Any) -> None:
    extras = {name for name in vars(image).keys() - _OWN if vars(image)[name] is not None}
    if extras or image.mode not in _BITS:
        raise UnknownTypeError(image)
    image.load()  # what has been said of its palette takes effect
    has_palette = image.mode in _WITH_PALETTE
    if (image.palette is not None) is not has_palette:
        raise UnknownTypeError(image)
    palette, colors = "", b""
    if has_palette:
        palette = image.palette.mode
        if palette not in _PALETTES:
            raise UnknownTypeError(image)
        colors = bytes(image.getpalette(palette))
    writer.text(image.mode)
    writer.write(image.size)
    writer.text(palette)
    writer.blob(colors)
    writer.blob(image.tobytes())
    with step(".info"):
        writer.mapping(image.info)


def _read_image(reader: Reader) -> Any:
    number = reader.reserve()
    mode, size, palette = reader.text(), reader.read_exact(tuple), reader.text()
    colors, pixels = bytes(reader.blob()), reader.blob()
    width, height = size
    if not (type(width) is type(height) is int and width >= 0 and height >= 0):
        raise CodecError("damaged encoding: the size of an image is none")
    if len(pixels) != _size_of(mode, width, height):
        raise CodecError("damaged encoding: an image has not the pixels that it says")
    if (palette in _PALETTES) is not (mode in _WITH_PALETTE):
        raise CodecError("damaged encoding: an image has another palette than it can have")
    image = Image.new(mode, size)
    if palette:
        if len(colors) > 256 * len(palette):
            raise CodecError("damaged encoding: the palette of an image is too large")
        image.putpalette(colors, palette)
    if len(pixels):
        image.frombytes(copied(pixels))
    image.info = dict(reader.mapping())
    reader.fill(number, image)
    return image


register(Kind(IMAGES, _write_image, _read_image, identity=True, late=True), Image.Image)
