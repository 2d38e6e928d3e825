"""A record: the small signed claim "this key has this result". Format 1 is fixed here.

A record is a DAG-CBOR map. Its signature covers the encoding of all the other fields, so that
neither key, result, age nor origin can be changed or moved. What people see of it is an `Entry`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from typing import Any

import libipld

from cascade_nb.errors import IntegrityError

FORMAT = 1


@dataclass(frozen=True, slots=True, kw_only=True)
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


@dataclass(frozen=True, slots=True, kw_only=True)
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


@dataclass(frozen=True, slots=True, kw_only=True)
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
        return not self.created - _CLOCK_SKEW <= now < self.created + self.ttl

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
            record = cls(
                **{f.name: tree[f.name] for f in fields(cls) if f.name not in _STRUCTURED},
                result=libipld.encode_cid(tree["result"]),
                outputs=tuple(
                    Output(**{**o, "cid": libipld.encode_cid(o["cid"])}) for o in tree["outputs"]
                ),
                reads=Reads(**tree["reads"]),
            )
        except IntegrityError:
            raise
        except Exception as error:
            raise IntegrityError(f"not a record: {error}") from error
        return record


_STRUCTURED = frozenset({"result", "outputs", "reads"})
# Clocks of two machines may differ by this many seconds before a record counts as from the future.
_CLOCK_SKEW = 300.0


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
