"""A store for tests of what people see: real sealed records, and no content."""

from __future__ import annotations

import hashlib
import time
from collections.abc import AsyncIterator

from cascade_nb.content.cid import raw_cid
from cascade_nb.policies.belief import entry_of
from cascade_nb.provenance.secret import seal
from cascade_nb.records import Entry, Output, Reads, Record
from cascade_nb.tasks import Report, Status, TaskKind


class Shelf:
    """Lists and forgets; what is put on it may be damaged."""

    def __init__(self, *records: Record) -> None:
        self.envelopes = {record.key: seal(record.to_bytes()) for record in records}

    def __repr__(self) -> str:
        return "Shelf()"

    async def records(self) -> AsyncIterator[tuple[str, bytes]]:
        for item in list(self.envelopes.items()):
            yield item

    async def size(self) -> int:
        return 5_000_000

    async def delete_record(self, key: str) -> bool:
        return self.envelopes.pop(key, None) is not None

    async def clear(self) -> int:
        count = len(self.envelopes)
        self.envelopes.clear()
        return count


def make_record(name: str, seed: str | None = None, **changes: object) -> Record:
    """A record called `name`; its key and result come from `seed`."""
    digest = hashlib.sha256((seed or name).encode()).hexdigest()
    cid = raw_cid(digest.encode())
    output = Output(
        name="", cid=cid, fingerprint=digest, codec="tree/1", type="builtins.list", size=1_200_000
    )
    given = {
        "kind": "value",
        "key": digest,
        "result": cid,
        "needs_code": False,
        "name": name,
        "created": time.time() - 7200,
        "ttl": None,
        "seconds": 3.2,
        "size": 1_200_000,
        "outputs": (output,),
        "parts": {"code": digest},
        "reads": Reads(),
        "environment": {},
    }
    return Record(**{**given, **changes})  # type: ignore[arg-type]


def make_entry(name: str = "model", **changes: object) -> Entry:
    """What people see of `make_record`."""
    return entry_of(make_record(name, **changes))  # type: ignore[arg-type]


def make_report(status: Status = Status.HIT, name: str = "model", **changes: object) -> Report:
    """A report with an entry, as the engine would publish it."""
    given = {
        "task_id": f"{name}:1",
        "name": name,
        "kind": TaskKind.CELL,
        "status": status,
        "entry": make_entry(name),
        "saved": 3.2 if status is Status.HIT else 0.0,
        "seconds": 0.0 if status is Status.HIT else 3.2,
    }
    return Report(**{**given, **changes})  # type: ignore[arg-type]
