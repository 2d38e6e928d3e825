"""A record: the small signed claim "this key has this result". Format 1 is fixed here.

A record is a DAG-CBOR map. Its signature covers the encoding of all the other fields, so that
neither key, result, age nor origin can be changed or moved. What people see of it is an `Entry`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, TypeVar

import libipld

from cascade_nb.errors import IntegrityError

FORMAT = 1

T = TypeVar("T")


@dataclass(frozen=True, kw_only=True)
class Output:
    """One stored value: a function's result, or one variable of a cell.

    `fingerprint` is what fingerprinting the loaded value would give (hex); `size` is in bytes.
    """

    name: str
    cid: str
    fingerprint: str
    codec: str
    type: str
    size: int


@dataclass(frozen=True, kw_only=True)
class Reads:
    """The files a computation read, as it first found them, by path for people and machines.

    `files` maps a path to the hex digest of its content, or to None where it did not exist;
    `folders` maps a path to the hex digest of its sorted names. Paths are relative to the working
    folder or begin with ``~/`` where they lie there.
    """

    files: Mapping[str, str | None] = field(default_factory=dict)
    folders: Mapping[str, str | None] = field(default_factory=dict)

    def __bool__(self) -> bool:
        return bool(self.files or self.folders)

    def merged(self, other: Reads) -> Reads:
        """Both together; what `self` saw of a path came first and is kept."""
        return Reads(files={**other.files, **self.files}, folders={**other.folders, **self.folders})


@dataclass(frozen=True, kw_only=True)
class Record:
    """The claim "key -> result", with all that a reader needs to judge it.

    `created` is in seconds since the epoch, `ttl` and `seconds` (what the computation took) in
    seconds. `parts` maps the label of each part of the key, such as ``global K``, to its hex
    digest. `producer` is the signer's OpenSSH public key line, without comment.
    """

    kind: str
    key: str
    result: str
    needs_code: bool
    name: str
    created: float
    ttl: float | None
    seconds: float
    size: int
    outputs: tuple[Output, ...]
    parts: Mapping[str, str]
    reads: Reads
    environment: Mapping[str, str]
    producer: str = ""
    signature: bytes = b""

    def expired(self, now: float) -> bool:
        """Whether `ttl` has passed at `now`, or the record claims to come from the future."""
        if self.ttl is None:
            return False
        return not self.created - CLOCK_SKEW <= now < self.created + self.ttl

    def signed_bytes(self) -> bytes:
        """What the signature covers: the canonical encoding of every other field."""
        return _encode({k: v for k, v in self._as_map().items() if k != "signature"})

    def with_signature(self, signature: bytes) -> Record:
        """The same record, signed."""
        return replace(self, signature=signature)

    def to_bytes(self) -> bytes:
        """The canonical DAG-CBOR encoding, signature included."""
        return _encode(self._as_map())

    def _as_map(self) -> dict[str, Any]:
        return {
            "format": FORMAT,
            "kind": self.kind,
            "key": self.key,
            "result": _link(self.result),
            "needs_code": self.needs_code,
            "name": self.name,
            "created": float(self.created),
            "ttl": None if self.ttl is None else float(self.ttl),
            "seconds": float(self.seconds),
            "size": self.size,
            "outputs": [
                {
                    "name": o.name,
                    "cid": _link(o.cid),
                    "fingerprint": o.fingerprint,
                    "codec": o.codec,
                    "type": o.type,
                    "size": o.size,
                }
                for o in self.outputs
            ],
            "parts": dict(self.parts),
            "reads": {"files": dict(self.reads.files), "folders": dict(self.reads.folders)},
            "environment": dict(self.environment),
            "producer": self.producer,
            "signature": self.signature,
        }

    @classmethod
    def from_bytes(cls, data: bytes) -> Record:
        """Decode what `to_bytes` gave.

        Raises:
            IntegrityError: `data` is no canonical record of this format.
        """
        try:
            tree = libipld.decode_dag_cbor(data)
            if tree["format"] != FORMAT:
                raise IntegrityError(f"a record of format {tree['format']!r}; this reads {FORMAT}")
            # libipld takes other encodings of the same tree too: a record has one CID, not many.
            if libipld.encode_dag_cbor(tree) != data:
                raise IntegrityError("not a record: its encoding is not canonical")
            _check_types(tree)
            del tree["format"]
            tree["result"] = libipld.encode_cid(tree["result"])
            tree["reads"] = _made(Reads, tree["reads"])
            outputs = tree["outputs"]
            for output in outputs:
                output["cid"] = libipld.encode_cid(output["cid"])
            tree["outputs"] = tuple([_made(Output, output) for output in outputs])
            return _made(cls, tree)
        except IntegrityError:
            raise
        except Exception as error:
            raise IntegrityError(f"not a record: {error}") from error


def _made(cls: type[T], fields: dict[str, Any]) -> T:
    """An instance with `fields`, all of them; the __init__ of a frozen class is much slower."""
    instance = object.__new__(cls)
    vars(instance).update(fields)
    return instance


# In the order of DAG-CBOR's canonical maps, in which they are decoded: short names first.
_RECORD_TYPES: dict[str, type] = {
    "key": str,
    "ttl": float,
    "kind": str,
    "name": str,
    "size": int,
    "parts": dict,
    "reads": dict,
    "format": int,
    "result": bytes,
    "created": float,
    "outputs": list,
    "seconds": float,
    "producer": str,
    "signature": bytes,
    "needs_code": bool,
    "environment": dict,
}
_OUTPUT_TYPES: dict[str, type] = {
    "cid": bytes,
    "name": str,
    "size": int,
    "type": str,
    "codec": str,
    "fingerprint": str,
}
_RECORD_NAMES, _OUTPUT_NAMES = tuple(_RECORD_TYPES), tuple(_OUTPUT_TYPES)
_RECORD_SHAPES = {tuple({**_RECORD_TYPES, "ttl": ttl}.values()) for ttl in (float, type(None))}
_OUTPUT_SHAPE = tuple(_OUTPUT_TYPES.values())


def _check_types(tree: dict[str, Any]) -> None:
    """Refuse a tree whose fields or their types are not a record's. In the path of each hit."""
    reads = tree["reads"]
    texts = (*tree["parts"].values(), *tree["environment"].values())
    digests = (*reads["files"].values(), *reads["folders"].values())
    if (
        tuple(tree) != _RECORD_NAMES
        or tuple(map(type, tree.values())) not in _RECORD_SHAPES
        or len(reads) != 2
        or not {*map(type, texts)} <= {str}
        or not {*map(type, digests)} <= {str, type(None)}
    ):
        raise IntegrityError("not a record: a field is missing, unknown, or of another type")
    for output in tree["outputs"]:
        if tuple(output) != _OUTPUT_NAMES or tuple(map(type, output.values())) != _OUTPUT_SHAPE:
            raise IntegrityError("not a record: an output is not of the right form")


# Clocks of two machines may differ by this many seconds before a record counts as from the future.
CLOCK_SKEW = 300.0


def _encode(tree: dict[str, Any]) -> bytes:
    data: bytes = libipld.encode_dag_cbor(tree)
    return data


def _link(cid: str) -> bytes:
    # libipld encodes a binary CID as a link.
    link: bytes = libipld.decode_multibase(cid)[1]
    return link


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """A stored result, as people see it.

    `cid` names the result, `record_cid` the signed record that is shared; `size` is in bytes,
    `ttl` and `seconds` are in seconds, `created` is in seconds since the epoch.
    """

    key: str
    cid: str
    record_cid: str
    kind: str
    name: str
    created: float
    ttl: float | None
    seconds: float
    size: int
    needs_code: bool
    outputs: tuple[Output, ...]
    producer: str
