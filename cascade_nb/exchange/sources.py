"""Where content comes from: the store first, then nodes, then gateways."""

from __future__ import annotations

from collections.abc import Sequence

from cascade_nb import catalog
from cascade_nb.backends.tiered import flat
from cascade_nb.content import verify
from cascade_nb.errors import BackendError, CascadeError, IntegrityError, logger
from cascade_nb.loop import in_thread
from cascade_nb.protocols import Bytes, Fetches, KeepsBytes, Progress


class Sources:
    """Gives content by CID from the first source that has it, verified.

    Args:
        store: the user's store, all of whose tiers are asked before anything else.
        gateways: URLs of trustless gateways, asked last.
    """

    def __init__(self, store: KeepsBytes, gateways: Sequence[str] = ()) -> None:
        self._store = store
        self._distant = [part for part in flat(store) if isinstance(part, Fetches)]
        if gateways:
            from cascade_nb.backends.gateway import GatewayBackend

            self._distant.append(GatewayBackend(gateways))

    async def near(self, cid: str) -> Bytes | None:
        """The content, if the store has it undamaged."""
        try:
            data = await self._store.read_content(cid)
        except BackendError as error:
            logger.info("the store was passed over for %s: %s", cid, error)
            return None
        if data is not None and not await in_thread(verify, cid, data):
            logger.warning("the store has damaged content under %s", cid)
            return None
        return data

    async def fetch(self, cid: str, *, progress: Progress | None = None) -> Bytes:
        """The content from wherever there is any that is undamaged, the store left out.

        Raises:
            BackendError: nobody has it, or who might have it fails or stands still.
            IntegrityError: it came, but not as its CID says, and nobody else has it.
        """
        failures: list[CascadeError] = []
        for source in self._distant:
            try:
                data = await source.fetch_content(cid, progress=progress)
            except (BackendError, IntegrityError) as error:
                logger.info("%s was passed over for %s: %s", source, cid, error)
                failures.append(error)
                continue
            if data is not None:
                return data
        if failures:
            raise failures[-1]
        asked = ", ".join(["the store", *map(catalog.describe, self._distant)])
        more = "" if self._distant else "; no IPFS node or gateway is configured"
        raise BackendError(f"nobody has {cid}: asked {asked}{more}")
