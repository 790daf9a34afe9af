"""The descriptor cache in redis, under distribution's keys (``registry/storage/cache/redis``).

- ``blobs::<digest>``: hash of ``digest``, ``size`` and ``mediatype``
- ``repository::<name>::blobs``: set of digests
- ``repository::<name>::blobs::<digest>``: hash of ``mediatype``

None of them expires, and any registry that shares the redis may have written them. Each operation
is one exchange with the server, on the calling thread: redis should be nearby. When it does not
answer, it is not asked for a while.
"""

from __future__ import annotations

import logging
import ssl
import time
from collections.abc import Callable, Iterable
from datetime import timedelta
from pathlib import Path
from typing import Any

import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from reference_registry.config import RedisConfig, RedisTlsConfig
from reference_registry.config.problem import CannotStart
from reference_registry.config.units import parse_address
from reference_registry.counters import CacheCounters
from reference_registry.digest import Digest, algorithm_of, parse_digest
from reference_registry.profiles import Profile
from reference_registry.repository import Descriptor
from reference_registry.storage.descriptor_cache import DescriptorCache

_log = logging.getLogger(__name__)

_TIMEOUT = timedelta(milliseconds=500)
"""For a connection, and for an answer, unless configured."""
_FIRST_PAUSE, _LONGEST_PAUSE = 1.0, 30.0
_LOG_INTERVAL = 60.0  # seconds


class RedisDescriptorCache(DescriptorCache):
    """``blobdescriptor: redis``. While redis fails, nothing is found and nothing is kept, and the
    registry serves without it. *monotonic* gives seconds. Raises :class:`CannotStart` if a file of
    ``redis.tls`` cannot be used."""

    def __init__(
        self,
        config: RedisConfig,
        profile: Profile,
        counters: CacheCounters | None = None,
        *,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        address = parse_address(config.addr)
        self._client = redis.Redis(
            host=address.host or "localhost",
            port=address.port,
            db=config.db,
            username=config.username,
            password=config.password,
            protocol=2,
            socket_connect_timeout=(config.dialtimeout or _TIMEOUT).total_seconds(),
            socket_timeout=(config.readtimeout or _TIMEOUT).total_seconds(),
            max_connections=config.pool_maxactive,
            **(_tls_options(config.tls) if config.tls is not None else {}),
            # A stale connection is replaced; a request that times out is not repeated.
            retry=Retry(NoBackoff(), 1, supported_errors=(redis.ConnectionError,)),
        )
        self._address = config.addr
        self._forgets_all = profile.descriptor_cache_forgets == "all"
        self._counters = counters or CacheCounters()
        self._monotonic = monotonic
        self._paused_until = 0.0
        self._pause = _FIRST_PAUSE
        self._silent_until = 0.0

    def find(self, repository: str, digest: Digest) -> Descriptor | None:
        def queue(ask: Any) -> None:
            ask.sismember(_members(repository), digest)
            ask.hmget(_blob(digest), "digest", "size", "mediatype")
            ask.hget(_override(repository, digest), "mediatype")

        answers = self._ask(queue)
        if answers is None:
            return None
        member, (stored_as, size, media_type), override = answers
        if not member or override is None:
            return None
        return _descriptor(stored_as, size, override or media_type or b"")

    def remember(self, repository: str, digest: Digest, descriptor: Descriptor) -> None:
        digests = [digest]
        if algorithm_of(digest) != algorithm_of(descriptor.digest):
            digests.append(descriptor.digest)

        def queue(ask: Any) -> None:
            for known_as in digests:
                ask.sadd(_members(repository), known_as)
                _queue_blob(ask, known_as, descriptor)
                ask.hset(_override(repository, known_as), "mediatype", descriptor.media_type)

        self._ask(queue)

    def remember_bytes(self, descriptor: Descriptor) -> None:
        self._ask(lambda ask: _queue_blob(ask, descriptor.digest, descriptor))

    def forget(self, repository: str, digest: Digest) -> None:
        def queue(ask: Any) -> None:
            if self._forgets_all:
                ask.srem(_members(repository), digest)
                ask.delete(_override(repository, digest))
            ask.hdel(_blob(digest), "digest", "size", "mediatype")

        self._ask(queue)

    def close(self) -> None:
        self._client.close()

    # -- exchanges ------------------------------------------------------------------------------
    def _ask(self, queue: Callable[[Any], None]) -> list[Any] | None:
        """The answers to what *queue* puts into one pipeline; None if redis does not answer."""
        if self._monotonic() < self._paused_until:
            self._counters.errors += 1
            return None
        try:
            with self._client.pipeline(transaction=False) as pipeline:
                queue(pipeline)
                answers = pipeline.execute()
        except redis.ResponseError as error:  # it answers, and refuses
            self._failed(error)
            return None
        except (redis.RedisError, OSError) as error:
            self._paused_until = self._monotonic() + self._pause
            self._pause = min(self._pause * 2, _LONGEST_PAUSE)
            self._failed(error)
            return None
        self._pause = _FIRST_PAUSE
        return answers

    def _failed(self, error: Exception) -> None:
        self._counters.errors += 1
        if self._monotonic() >= self._silent_until:
            self._silent_until = self._monotonic() + _LOG_INTERVAL
            _log.error("redis at %s is not used: %s", self._address, error)


def _tls_options(tls: RedisTlsConfig) -> dict[str, Any]:
    options: dict[str, Any] = {"ssl": True, "ssl_check_hostname": True}
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)  # to find mistakes now
    if tls.certificate is not None and tls.key is not None:
        options |= {"ssl_certfile": str(tls.certificate), "ssl_keyfile": str(tls.key)}
        try:
            context.load_cert_chain(tls.certificate, tls.key)
        except OSError as error:  # ssl.SSLError too
            raise _unusable("certificate", (tls.certificate, tls.key), error) from None
    if tls.rootcas:
        try:
            pem = "\n".join(path.read_text("ascii") for path in tls.rootcas)
            context.load_verify_locations(cadata=pem)
        except (OSError, ValueError) as error:
            raise _unusable("rootcas", tls.rootcas, error) from None
        options["ssl_ca_data"] = pem
    return options


def _unusable(key: str, paths: Iterable[Path], error: Exception) -> CannotStart:
    what = f"{', '.join(map(str, paths))}: {getattr(error, 'strerror', None) or error}"
    return CannotStart(f"redis.tls.{key}", what, "name files in PEM", released_exit_code=2)


def _queue_blob(ask: Any, digest: Digest, descriptor: Descriptor) -> None:
    mapping = {"digest": descriptor.digest, "size": descriptor.size}
    ask.hset(_blob(digest), mapping=mapping)
    ask.hsetnx(_blob(digest), "mediatype", descriptor.media_type)


def _descriptor(digest: bytes | None, size: bytes | None, media_type: bytes) -> Descriptor | None:
    """The descriptor in the fields; None if they are not valid."""
    parsed = parse_digest((digest or b"").decode("ascii", "replace"))
    if parsed is None or size is None or not size.isdigit() or len(size) > 18:
        return None
    return Descriptor(parsed, int(size), media_type.decode("ascii", "replace"))


def _blob(digest: Digest) -> str:
    return f"blobs::{digest}"


def _members(repository: str) -> str:
    return f"repository::{repository}::blobs"


def _override(repository: str, digest: Digest) -> str:
    return f"repository::{repository}::blobs::{digest}"
