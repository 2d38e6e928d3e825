"""How a record is got rid of in any store, also in one that can only get and set."""

from __future__ import annotations

from cascade_nb.protocols import Forgets, KeepsBytes

# What lies in place of a record that was to go: no claim, row or note begins like that.
FORGOTTEN = b""


async def forget(store: KeepsBytes, key: str) -> bool:
    """Remove the record under `key`, or else overwrite it; whether there was any.

    Raises:
        BackendError: it may still be there.
    """
    if isinstance(store, Forgets):
        return await store.delete_record(key)
    if not await store.read_record(key):
        return False
    await store.write_record(key, FORGOTTEN, None)
    return True
