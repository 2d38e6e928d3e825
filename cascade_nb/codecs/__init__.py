"""Values to bytes and back, by exact type; the reader's policy decides what may run code.

Values of known types become a tree (`tree`), a format that cannot run code and gives them back
exactly equal or refuses them. A value with anything else in it is pickled as a whole (`pickled`).
Nothing falls back from a data format to pickle because of what an encoding says.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from cascade_nb.codecs import builtin, layout, reader, refusal, writer
from cascade_nb.errors import CodecError, UntrustedError
from cascade_nb.protocols import Bytes
from cascade_nb.wording import a

__all__ = ["Encoded", "decode", "encode"]

assert builtin  # registers the builtin kinds  # noqa: S101


@dataclass(frozen=True, slots=True, kw_only=True)
class Encoded:
    """A value's encoding: the concatenation of `pieces`, `size` bytes.

    Large arrays are views of the value's own memory: use the pieces before it changes.
    """

    codec: str
    needs_code: bool
    type: str
    pieces: tuple[Bytes, ...]
    size: int


def encode(
    value: Any,
    *,
    external: Callable[[object], str | None] | None = None,
    class_digest: Callable[[type], str] | None = None,
) -> Encoded:
    """The canonical encoding of a value: equal values of known types have equal bytes.

    Args:
        value: anything.
        external: names an object that is not to be stored but referred to; it is asked for each
            mutable object, by identity.
        class_digest: the digest of a class, stored with each class of an instance.

    Raises:
        CodecError: the value, or what `path` leads to, has no exact encoding.
    """
    codec, needs_code = layout.TREE, True
    try:
        try:
            needs_code, pieces = writer.encode(value, external, class_digest)
        except refusal.UnknownTypeError as unknown:
            from cascade_nb.codecs import pickled

            codec = layout.CODE
            writer.survey(value, external)
            try:
                pieces = pickled.encode(value, external, class_digest)
            except refusal.RefusedError as refused:
                raise _error(unknown, refused.reason) from refused
    except refusal.RefusedError as refused:
        raise _error(refused, refused.reason) from refused.__cause__
    except RecursionError as error:
        raise CodecError(
            "value is nested too deeply to be stored", path="value", type_name=_name(value)
        ) from error
    return Encoded(
        codec=codec,
        needs_code=needs_code,
        type=_name(value),
        pieces=pieces,
        size=sum(memoryview(piece).nbytes for piece in pieces),
    )


def decode(
    data: Bytes,
    *,
    code: bool,
    external: Callable[[str], object] | None = None,
    find_class: Callable[[str, str], type | None] | None = None,
    class_digest: Callable[[type], str] | None = None,
) -> Any:
    """The value of an encoding, a fresh one.

    Args:
        data: the encoding. If it is writable it belongs to the value from now on: large arrays
            are views of it.
        code: whether code may run. If not, pickles and instances of plain classes are refused
            before anything of them is touched.
        external: gives the object that the writer's `external` named.
        find_class: the class of a module and qualified name; by default one that is loaded.
        class_digest: as for `encode`; a class with another digest is an error.

    Raises:
        UntrustedError: decoding would run code, and `code` is false.
        CodecError: the data is damaged, or refers to what is not here.
    """
    from cascade_nb.codecs.instances import loaded_class

    codec, needs_code, structure, blocks = layout.split(data)
    if (needs_code or codec == layout.CODE) and not code:
        raise UntrustedError("the result would have to run code")
    find_class = find_class or loaded_class
    if codec == layout.TREE:
        return reader.decode(
            structure,
            blocks,
            code=code,
            external=external,
            find_class=find_class,
            class_digest=class_digest,
        )
    from cascade_nb.codecs import pickled

    return pickled.decode(
        structure, blocks, external=external, find_class=find_class, class_digest=class_digest
    )


def _name(value: Any) -> str:
    return refusal.type_name(type(value))


def _error(culprit: refusal.RefusedError, reason: str) -> CodecError:
    return CodecError(
        f"{culprit.path} ({a(culprit.type_name)}) cannot be stored: {reason}",
        path=culprit.path,
        type_name=culprit.type_name,
    )
