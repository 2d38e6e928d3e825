"""The public face of every backend: `get` and `set` of any value, which never fail.

A value lies in the store as a sealed claim, bound to its key and age, with the encoding in it, or,
where that is large, with the CID of the content that holds it.
"""

from __future__ import annotations

import math
import time
from collections.abc import Sequence
from typing import Any, ClassVar

import libipld

from cascade_nb import codecs, content
from cascade_nb.backends.buffers import joined
from cascade_nb.backends.forgetting import FORGOTTEN, forget
from cascade_nb.content.unixfs import file_cid
from cascade_nb.errors import (
    BackendError,
    CascadeError,
    ConfigurationError,
    ContentTooLargeError,
    logger,
    warn_once,
)
from cascade_nb.fingerprint.values import fingerprint
from cascade_nb.loop import in_thread
from cascade_nb.protocols import Bytes, KeepsBytes
from cascade_nb.provenance.secret import seal, unseal

# Names of rows that serve another store, such as what lies elsewhere, begin with this.
SERVICE = "~"

_CONTEXT = b"value"
_FORMAT = 1
# Decoding up to this many bytes takes less than a trip to a thread and back.
_INLINE_BYTES = 32 * 1024
# Clocks of processes on one machine agree; this much may lie between two looks at one.
CLOCK_SLACK_SECONDS = 5.0


class ValueFace(KeepsBytes):
    """Base of backends: the methods of `CacheBackend` on top of the inner ones.

    Any value that a codec knows can be stored, and an equal one comes back, fresh each time.
    Foreign or damaged bytes are a None and never executed. With a dead medium `get` is None and
    `set` stores nothing, with one warning.
    """

    # Whether it is reached over a network, and whether it outlives this process by itself.
    remote: ClassVar[bool] = False
    lasting: ClassVar[bool] = False
    # Encodings up to this size lie in the claim itself.
    inline_bytes: ClassVar[int] = _INLINE_BYTES

    async def get(self, key: str) -> Any | None:
        """The value stored under `key`, or None (which a stored None is, too).

        Raises:
            ConfigurationError: `key` is not a str.
        """
        name = _checked_key(key)
        try:
            envelope = await self.read_record(_name(key))
            claim = None if envelope is None else _opened(envelope, name)
            if claim is None:
                return None
            if "data" in claim:
                return _decoded(claim["data"])
            data = await self.read_content(claim["cid"])
            return None if data is None else await in_thread(_verified, claim["cid"], data)
        except BackendError as error:
            self._warn(error)
        except Exception as error:
            # Decoding can fail in as many ways as classes can be written; all of them are a miss.
            logger.info("the value under %r does not load: %s", key, error)
        return None

    async def set(self, key: str, value: Any, ttl: float | None = None) -> None:
        """Store `value` under `key`, for `ttl` seconds or for good.

        Where it cannot be stored, nothing is found under `key` afterwards, with one warning: what
        lay there before is out of date.

        Raises:
            ConfigurationError: `key` is not a str, or `ttl` not a positive, finite number.
        """
        name, ttl = _checked_key(key), _checked_ttl(ttl)
        try:
            pieces = await in_thread(_encoded, value)
        except Exception as error:
            self._warn_of_refusal(value, error)
            await self._leave_nothing(key)
            return
        try:
            await self._set_encoded(key, name, pieces, ttl)
        except BackendError as error:
            self._warn(error)
            await self._leave_nothing(key)

    async def _leave_nothing(self, key: str) -> None:
        """See to it that nothing is found under `key`, which was to get another value."""
        try:
            try:
                await forget(self, _name(key))
            except BackendError:
                # Of several stores, one that is down is told so once it is back.
                await self.write_record(_name(key), FORGOTTEN, None)
        except BackendError as error:
            logger.info("an earlier value may still be stored: %s", error)

    async def _set_encoded(
        self, key: str, name: bytes, pieces: Sequence[Bytes], ttl: float | None
    ) -> None:
        claim: dict[str, Any] = {"format": _FORMAT, "key": name, "created": time.time(), "ttl": ttl}
        contents: tuple[str, ...] = ()
        if sum(memoryview(piece).nbytes for piece in pieces) <= self.inline_bytes:
            claim["data"] = bytes(joined(pieces))
        else:
            claim["cid"] = await in_thread(file_cid, pieces)
            contents = (claim["cid"],)
            await self.write_content(claim["cid"], pieces)
        envelope = seal(libipld.encode_dag_cbor(claim), context=_CONTEXT)
        await self.write_record(_name(key), envelope, ttl, contents=contents)

    def _warn_of_refusal(self, value: Any, error: Exception) -> None:
        kind, place = f"{type(value).__module__}.{type(value).__qualname__}", repr(self)
        # A class that cannot be taken apart says so in its own way, which may show its state.
        reason = str(error) if isinstance(error, CascadeError) else type(error).__name__
        warn_once(f"{place} did not store a value of type {kind}: {reason}", (kind, place))

    def _warn(self, error: BackendError) -> None:
        # What the engine says of an outage is not said again.
        kind = "too large" if isinstance(error, ContentTooLargeError) else "outage"
        warn_once(f"values are not cached: {error}", (kind, error.server or type(self).__name__))


def _name(key: str) -> str:
    """Where a value's claim lies, apart from the engine's records."""
    return f"value:{key}"


def _checked_key(key: str) -> bytes:
    if not isinstance(key, str):
        raise ConfigurationError(f"a key must be a str, not {key!r}")
    return key.encode("utf-8", "surrogatepass")


def _checked_ttl(ttl: float | None) -> float | None:
    if ttl is None:
        return None
    try:
        seconds = math.nan if isinstance(ttl, bool | str) else float(ttl)
    except (TypeError, ValueError, OverflowError):
        seconds = math.nan
    if not 0 < seconds < math.inf:
        raise ConfigurationError(f"ttl must be a positive, finite number of seconds, not {ttl!r}")
    return seconds


def is_current(created: float, ttl: float | None, now: float) -> bool:
    """Whether what was stored for `ttl` seconds still counts; a clock set back makes it a no."""
    return ttl is None or created - CLOCK_SLACK_SECONDS <= now < created + ttl


def _opened(envelope: Bytes, name: bytes) -> dict[str, Any] | None:
    """The claim in an envelope of ours, if it is one for this key and has not expired."""
    sealed = unseal(envelope, context=_CONTEXT)
    if sealed is None:
        return None
    claim: dict[str, Any] = libipld.decode_dag_cbor(sealed)
    if claim["format"] != _FORMAT or claim["key"] != name:
        return None
    return claim if is_current(claim["created"], claim["ttl"], time.time()) else None


def _encoded(value: Any) -> tuple[Bytes, ...]:
    return codecs.encode(value, class_digest=fingerprint).pieces


def _decoded(data: Bytes) -> Any:
    # The seal is this user's: what lies here has been put here by this user's own code.
    return codecs.decode(data, code=True, class_digest=fingerprint)


def _verified(cid: str, data: Bytes) -> Any:
    return _decoded(data) if content.verify(cid, data) else None
