"""What must hold of a record and the contents that it claims, wherever they come from."""

from __future__ import annotations

from collections.abc import Mapping

import libipld

from cascade_nb.content.cid import DAG_CBOR, codec_of, parse
from cascade_nb.content.memory import most_bytes
from cascade_nb.errors import ConfigurationError, IntegrityError
from cascade_nb.policies.packing import contents_of_cell
from cascade_nb.protocols import Bytes
from cascade_nb.records import Record
from cascade_nb.units import human_size

VALUE, CELL = "value", "cell"


def is_record(block: bytes) -> bool:
    """Whether a DAG-CBOR block means to be a record, good or bad, rather than a cell's node."""
    try:
        tree = libipld.decode_dag_cbor(block)
    except ValueError:
        return False
    return isinstance(tree, dict) and "producer" in tree


def is_node(cid: str) -> bool:
    """Whether `cid` names a single DAG-CBOR block: a record, or what a cell links."""
    return codec_of(parse(cid)) == DAG_CBOR


def parts_of(node: Bytes) -> list[str]:
    """The CIDs that the node of a cell links.

    Raises:
        IntegrityError: it is no such node, or links another node.
    """
    try:
        parts = contents_of_cell(node)
    except (AttributeError, KeyError, TypeError, ValueError, ConfigurationError) as error:
        raise IntegrityError(f"neither a record nor a cell: {type(error).__name__}") from error
    if any(map(is_node, parts)):
        raise IntegrityError("a cell links what is neither a value nor its recorded output")
    return parts


def check_form(record: Record) -> None:
    """Raise `IntegrityError` where a record's result cannot be what it says.

    Its outputs are shown to people and decide what it is trusted with: they must be of its result.
    """
    if record.kind not in (VALUE, CELL):
        raise IntegrityError(f"a record of the unknown kind {record.kind!r:.40}")
    if is_node(record.result) is not (record.kind == CELL):
        raise IntegrityError(f"the result of {record.name!r:.60} is no {record.kind}")
    cids = {output.cid for output in record.outputs}
    if record.kind == VALUE and cids != {record.result}:
        raise IntegrityError(f"the record of {record.name!r:.60} lists another output than its own")
    if record.size < 0 or any(output.size < 0 for output in record.outputs):
        raise IntegrityError(f"{record.name!r:.60} claims a size below nothing")
    if record.size > most_bytes():
        raise IntegrityError(
            f"{record.name!r:.60} claims to have {human_size(record.size)}, more than memory is"
        )


def check_contents(record: Record, contents: Mapping[str, Bytes]) -> None:
    """Raise `IntegrityError` where `contents` are not those that the record tells of."""
    needed = [record.result]
    if record.kind == CELL:
        parts = parts_of(contents[record.result])
        if not {output.cid for output in record.outputs} <= set(parts):
            raise IntegrityError(
                f"the record of {record.name!r:.60} lists other outputs than its cell"
            )
        needed += parts
    size = sum(memoryview(contents[cid]).nbytes for cid in dict.fromkeys(needed))
    if size != record.size:
        raise IntegrityError(
            f"{record.name!r:.60} claims to have {record.size:,} bytes and has {size:,}"
        )


def is_shown(name: str) -> bool:
    """Whether an output of a cell is what stood beside ``Out[n]``, and no variable."""
    return name.partition(".")[0] == "Out"
