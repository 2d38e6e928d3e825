"""From a result to the contents that hold it, each under its CID, and back.

A value is one content: its encoding. A cell is a DAG-CBOR node that links the encodings of its
outputs and of its recorded output; outputs that share mutable state lie in one encoding, a group,
and what they share with inputs that the cell left alone is named in it instead of copied.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import libipld

from cascade_nb import codecs
from cascade_nb.content.cid import dag_cbor_cid, parse, to_text
from cascade_nb.content.unixfs import file_cid
from cascade_nb.errors import FingerprintError, IntegrityError
from cascade_nb.fingerprint.values import fingerprint, shared_objects
from cascade_nb.policies.reduction import reduced
from cascade_nb.protocols import Bytes
from cascade_nb.records import Output
from cascade_nb.tasks import CellResult

NODE_FORMAT = 1
# The name of a function's one output.
RESULT = "result"


@dataclass(frozen=True, slots=True, kw_only=True)
class Package:
    """A result, ready to be stored: `contents` by CID, in the order in which to write them."""

    result: str
    contents: Mapping[str, Sequence[Bytes]]
    outputs: tuple[Output, ...]
    needs_code: bool

    @property
    def size(self) -> int:
        """Bytes of all contents together."""
        return sum(_length(pieces) for pieces in self.contents.values())


def pack_value(value: Any, *, value_fingerprint: str | None = None) -> Package:
    """Encode a function's value.

    Raises:
        CodecError: it has no exact encoding.
    """
    encoded = codecs.encode(value, class_digest=fingerprint)
    cid = file_cid(encoded.pieces)
    if value_fingerprint is None:
        value_fingerprint = _fingerprint_or_none(value)
    output = Output(
        name=RESULT,
        cid=cid,
        fingerprint=value_fingerprint,
        codec=encoded.codec,
        type=encoded.type,
        size=encoded.size,
    )
    return Package(
        result=cid,
        contents={cid: encoded.pieces},
        outputs=(output,),
        needs_code=encoded.needs_code,
    )


def unpack_value(data: Bytes, *, code: bool = True) -> Any:
    """Decode a function's value, for which code may run or not.

    Raises:
        CodecError: it does not decode.
        UntrustedError: it would have to run code.
    """
    return codecs.decode(data, code=code, class_digest=fingerprint)


def pack_cell(result: CellResult, inputs: Mapping[str, Any]) -> Package:
    """Encode what a cell left behind, given the inputs as they are after its run.

    Raises:
        CodecError, FingerprintError: an output has no exact encoding; both name it.
    """
    unchanged = {n: v for n, v in inputs.items() if n not in result.outputs}
    # First, as these name what they cannot read.
    digests = {n: fingerprint(v, path=n) for n, v in result.outputs.items()}
    mutables = {n: shared_objects(v) for n, v in result.outputs.items()}
    external = _names_of_parts(unchanged, wanted={id(o) for os in mutables.values() for o in os})
    contents: dict[str, Sequence[Bytes]] = {}
    outputs: dict[str, Output] = {}
    grouped: set[str] = set()
    needs_code = False
    for names in _groups(mutables, external):
        together = len(names) > 1
        value = {n: result.outputs[n] for n in names} if together else result.outputs[names[0]]
        encoded = codecs.encode(
            value, external=lambda part: external.get(id(part)), class_digest=fingerprint
        )
        needs_code = needs_code or encoded.needs_code
        cid = file_cid(encoded.pieces)
        contents[cid] = encoded.pieces
        grouped.update(names if together else ())
        for name in names:
            outputs[name] = Output(
                name=name,
                cid=cid,
                fingerprint=digests[name],
                codec=encoded.codec,
                type=_type_name(result.outputs[name]),
                size=encoded.size,
            )
    displays = codecs.encode([result.displays, dict(result.effects)])
    displays_cid = file_cid(displays.pieces)
    contents[displays_cid] = displays.pieces
    node: bytes = libipld.encode_dag_cbor(
        {
            "format": NODE_FORMAT,
            "outputs": {n: _output_node(o, n in grouped) for n, o in outputs.items()},
            "displays": parse(displays_cid),
        }
    )
    cid = dag_cbor_cid(node)
    contents[cid] = (node,)
    return Package(
        result=cid,
        contents=contents,
        outputs=tuple(outputs.values()),
        needs_code=needs_code,
    )


def contents_of_cell(node: Bytes) -> list[str]:
    """The CIDs that a cell's node links.

    Raises:
        IntegrityError: `node` is none of this format.
    """
    tree = _node(node)
    links = [o["cid"] for o in tree["outputs"].values()]
    return list(dict.fromkeys(to_text(link) for link in (*links, tree["displays"])))


def effects_of_cell(node: Bytes, contents: Mapping[str, Bytes]) -> Mapping[str, Any]:
    """What a cell did beside its outputs, read before these are decoded; raises as they do."""
    return _put_out(_node(node), contents)[1]


def unpack_cell(
    node: Bytes,
    contents: Mapping[str, Bytes],
    inputs: Mapping[str, Any],
    *,
    code: bool = True,
) -> CellResult:
    """Decode a cell's node and the contents that it links, in a session that has `inputs`.

    Where no `code` may run, its recorded output is reduced to what can do no harm.

    Raises:
        CodecError, IntegrityError: something does not decode, or an input lacks a named part.
        UntrustedError: it would have to run code.
    """
    tree = _node(node)
    parts = _parts_by_name(inputs)
    decoded = {
        cid: codecs.decode(data, code=code, external=parts, class_digest=fingerprint)
        for cid, data in contents.items()
        if cid != to_text(tree["displays"])
    }
    displays, effects = _put_out(tree, contents)
    outputs = {}
    for name, output in tree["outputs"].items():
        value = decoded[to_text(output["cid"])]
        if output["grouped"]:
            if type(value) is not dict or name not in value:
                raise IntegrityError(f"the stored cell has no output {name!r}")
            value = value[name]
        outputs[name] = value
    return CellResult(
        outputs=outputs, displays=displays if code else reduced(displays), effects=effects
    )


def _put_out(
    tree: Mapping[str, Any], contents: Mapping[str, Bytes]
) -> tuple[list[Any], dict[str, Any]]:
    """The recorded output of a cell, and its effects."""
    match codecs.decode(contents[to_text(tree["displays"])], code=False):
        case [list(displays), dict(effects)]:
            return displays, effects
    raise IntegrityError("the recorded output of a cell is damaged")


def _node(data: Bytes) -> dict[str, Any]:
    try:
        tree: dict[str, Any] = libipld.decode_dag_cbor(bytes(data))
        if tree["format"] == NODE_FORMAT:
            _check_node(tree)
            return tree
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise IntegrityError(f"not a cell's node: {error}") from error
    raise IntegrityError(f"a cell's node of format {tree['format']!r}; this reads {NODE_FORMAT}")


def _check_node(tree: Mapping[str, Any]) -> None:
    """Raise ValueError where a field has another type than `pack_cell` gives it."""
    for output in tree["outputs"].values():
        kinds = {name: type(value) for name, value in output.items()}
        if kinds != _OUTPUT_TYPES:
            raise ValueError("an output is not of the right form")
    for link in (tree["displays"], *(o["cid"] for o in tree["outputs"].values())):
        if type(link) is not bytes:
            raise ValueError("a link is none")
        to_text(link)


_OUTPUT_TYPES = {
    "cid": bytes,
    "fingerprint": str,
    "codec": str,
    "type": str,
    "size": int,
    "grouped": bool,
}


def _output_node(output: Output, grouped: bool) -> dict[str, Any]:
    return {
        "cid": parse(output.cid),
        "fingerprint": output.fingerprint,
        "codec": output.codec,
        "type": output.type,
        "size": output.size,
        "grouped": grouped,
    }


def _groups(
    mutables: Mapping[str, Sequence[object]], external: Mapping[int, str]
) -> list[list[str]]:
    """Names by shared mutable parts, apart from parts that are named; both in given order."""
    group_of: dict[str, list[str]] = {}
    first_owner: dict[int, str] = {}
    for name, parts in mutables.items():
        group_of[name] = [name]
        for part in parts:
            owner = first_owner.setdefault(id(part), name)
            mine, theirs = group_of[name], group_of[owner]
            if id(part) not in external and mine is not theirs:
                theirs.extend(mine)
                for member in mine:
                    group_of[member] = theirs
    return list({id(group): group for group in group_of.values()}.values())


def _names_of_parts(inputs: Mapping[str, Any], *, wanted: set[int]) -> dict[int, str]:
    """``name#n`` for each wanted mutable part of the inputs, by identity."""
    names: dict[int, str] = {}
    for name, value in inputs.items():
        try:
            parts = shared_objects(value)
        except FingerprintError:
            continue  # An ignored input: it is no part of the key, nor of any output.
        for index, part in enumerate(parts):
            if id(part) in wanted:
                names.setdefault(id(part), f"{name}#{index}")
    return names


def _parts_by_name(inputs: Mapping[str, Any]) -> Callable[[str], object]:
    """What finds again the parts that `_names_of_parts` named: equal inputs have equal parts."""
    parts: dict[str, list[object]] = {}

    def find(text: str) -> object:
        name, _, index = text.rpartition("#")
        if name not in parts:
            if name not in inputs:
                raise IntegrityError(f"the stored cell refers to an input {name!r} it has not")
            parts[name] = shared_objects(inputs[name])
        try:
            return parts[name][int(index)]
        except (IndexError, ValueError):
            raise IntegrityError(f"the stored cell refers to no part {text!r}") from None

    return find


def _fingerprint_or_none(value: Any) -> str:
    try:
        return fingerprint(value, path=RESULT)
    except FingerprintError:
        return ""  # Storable but opaque: what depends on it has to load it.


def _type_name(value: Any) -> str:
    kind = type(value)
    module = kind.__module__
    return kind.__qualname__ if module == "builtins" else f"{module}.{kind.__qualname__}"


def _length(pieces: Sequence[Bytes]) -> int:
    return sum(memoryview(piece).nbytes for piece in pieces)
