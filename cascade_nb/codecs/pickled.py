"""The code codec: cloudpickle, for everything that no data format holds.

Classes of ``__main__`` are stored by module, name and digest, and come back as the session's own;
what is `external` by its name. The memory of arrays lies in blocks beside the pickle.
"""

from __future__ import annotations

import io
import pickle
import struct
import sys
from typing import Any

import cloudpickle

from cascade_nb.codecs import layout
from cascade_nb.codecs.instances import loaded_class
from cascade_nb.codecs.reader import FindClass, FindExternal
from cascade_nb.codecs.refusal import RefusedError, type_name
from cascade_nb.codecs.writer import ClassDigest, External
from cascade_nb.errors import CodecError
from cascade_nb.protocols import Bytes

_EXTERNAL, _CLASS = "external", "class"
_IMMUTABLE = (type(None), bool, int, float, complex, str, bytes, tuple, frozenset, range)


def encode(
    value: Any, external: External | None, class_digest: ClassDigest | None
) -> tuple[Bytes, ...]:
    """The pieces of the encoding.

    Raises:
        RefusedError: the value cannot be pickled, whatever it raised.
    """
    file = io.BytesIO()
    buffers: list[pickle.PickleBuffer] = []
    pickler = _Pickler(file, external, class_digest, buffers)
    try:
        pickler.dump(value)
        memory: list[memoryview] = [buffer.raw() for buffer in buffers]
    except Exception as error:  # whatever the __reduce__ of an object raises
        raise RefusedError(value, f"it cannot be pickled: {_reason(error)}") from error
    # The structure: which buffers are read-only, a byte each, then the pickle.
    readonly = bytes(view.readonly for view in memory)
    structure: list[Bytes] = [struct.pack("<Q", len(memory)), readonly, file.getbuffer()]
    return layout.join(layout.CODE, True, structure, [[view] for view in memory])


def decode(
    structure: memoryview,
    blocks: list[memoryview],
    *,
    external: FindExternal | None,
    find_class: FindClass,
    class_digest: ClassDigest | None,
) -> Any:
    """The value, made by running what its pickle says."""
    readonly = structure[8 : 8 + len(blocks)]
    if structure[:8] != struct.pack("<Q", len(blocks)) or len(readonly) != len(blocks):
        raise CodecError("damaged encoding: its head is wrong")
    buffers: list[Any] = []
    for block, is_readonly in zip(blocks, readonly, strict=True):
        if is_readonly:
            buffers.append(block.toreadonly())
        else:
            buffers.append(bytearray(block) if block.readonly else block)
    unpickler = _Unpickler(
        io.BytesIO(structure[8 + len(blocks) :]), buffers, external, find_class, class_digest
    )
    try:
        return unpickler.load()
    except CodecError:
        raise
    except Exception as error:  # a pickle may run, and so raise, anything
        raise CodecError(f"a pickle does not load: {_reason(error)}") from error


class _Pickler(cloudpickle.Pickler):  # type: ignore[misc]  # cloudpickle has no types
    def __init__(
        self,
        file: io.BytesIO,
        external: External | None,
        class_digest: ClassDigest | None,
        buffers: list[pickle.PickleBuffer],
    ) -> None:
        super().__init__(file, protocol=5, buffer_callback=buffers.append)
        self._external = external
        self._class_digest = class_digest

    def persistent_id(self, value: Any) -> tuple[str, ...] | None:
        cls = type(value)
        if cls in _IMMUTABLE:
            return None
        if isinstance(value, type):
            return self._class_reference(value) if value.__module__ == "__main__" else None
        if self._external is not None:
            name = self._external(value)
            if name is not None:
                return _EXTERNAL, name
        return None

    def _class_reference(self, cls: type) -> tuple[str, ...] | None:
        if loaded_class(cls.__module__, cls.__qualname__) is not cls:
            return None  # a local class: by value
        digest = self._class_digest(cls) if self._class_digest is not None else ""
        return _CLASS, cls.__module__, cls.__qualname__, digest

    def reducer_override(self, value: Any) -> Any:
        figure = sys.modules.get("matplotlib.figure")
        if figure is not None and isinstance(value, figure.Figure):
            return _unregistered(value.__reduce_ex__(5))
        torch = sys.modules.get("torch")
        if torch is not None and isinstance(value, torch.Tensor) and value.grad is not None:
            function, arguments, *rest = value.__reduce_ex__(5)
            return (_with_gradient, (function, arguments, value.grad), *rest)
        return super().reducer_override(value)


def _with_gradient(function: Any, arguments: tuple[Any, ...], gradient: Any) -> Any:
    """A tensor that torch's own pickle leaves without its gradient."""
    tensor = function(*arguments)
    tensor.grad = gradient
    return tensor


def _unregistered(reduced: Any) -> Any:
    """A figure's state without the wish to be registered with pyplot when it is loaded."""
    function, arguments, state, *rest = reduced
    if isinstance(state, dict):
        state = {k: v for k, v in state.items() if k != "_restore_to_pylab"}
    return (function, arguments, state, *rest)


class _Unpickler(pickle.Unpickler):
    def __init__(
        self,
        file: io.BytesIO,
        buffers: list[Any],
        external: FindExternal | None,
        find_class: FindClass,
        class_digest: ClassDigest | None,
    ) -> None:
        super().__init__(file, buffers=buffers)
        self._external = external
        self._find_class = find_class
        self._class_digest = class_digest

    def persistent_load(self, reference: Any) -> Any:
        kind, name, *rest = reference
        if kind == _EXTERNAL:
            if self._external is None:
                raise CodecError(f"the encoding refers to {name!r}, which is not here")
            return self._external(name)
        qualname, digest = rest
        cls = self._find_class(name, qualname)
        if cls is None:
            raise CodecError(f"the class {name}.{qualname} is not defined here")
        if self._class_digest is not None and self._class_digest(cls) != digest:
            raise CodecError(f"the class {name}.{qualname} has changed")
        return cls


def _reason(error: Exception) -> str:
    # What pickle itself says names types; what a class of the user's raises may quote its values.
    if type(error) in (TypeError, pickle.PicklingError, RecursionError):
        return f"{type_name(type(error))}: {error}"
    return type_name(type(error))
