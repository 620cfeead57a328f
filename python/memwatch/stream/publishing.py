"""Publish this process's black box over ZeroMQ; libzmq is loaded on demand.

docs/stream.md documents the messages.
"""

from __future__ import annotations

import atexit
import os
import threading
from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple

from ..blackbox import recording
from ..blackbox.folders import make_runtime_folder, readable
from ..blackbox.reader import name_of
from ..state import keep
from ..warn import cause_of, warn_once

if TYPE_CHECKING:
    from .._stream import Publisher, PublisherStatus
    from .keys import KeyPair

_NS_PER_S = 1_000_000_000


class PublishError(Exception):
    """Publishing failed; one line says why and what to do."""


class Endpoint(NamedTuple):
    """An endpoint with its sign: ``@`` binds, ``>`` connects."""

    connects: bool
    address: str
    """libzmq's: ``tcp://...``, ``ipc://...``."""
    needs_keys: bool
    """Other machines can reach it."""

    def __str__(self) -> str:
        return f"{'>' if self.connects else '@'}{self.address}"


class _Own:
    """The publisher of this process."""

    publisher: Publisher | None = None
    make: partial[Publisher] | None = None
    """Creates such a publisher at an endpoint."""
    connects = False

    def __init__(self) -> None:
        self.lock = threading.Lock()
        """Guards the other attributes."""


_own = keep("publishing", _Own)


def parse(typed: str) -> Endpoint:
    """``@ENDPOINT`` binds, ``>ENDPOINT`` connects. PublishError."""
    sign, address = typed[:1], typed[1:]
    if sign not in ("@", ">"):
        raise PublishError(
            f"invalid endpoint '{typed}': use @{typed or 'ENDPOINT'} to bind or"
            f" >{typed or 'ENDPOINT'} to connect"
        )
    from .endpoints import is_beyond

    connects = sign == ">"
    try:
        beyond = is_beyond(address, connects=connects)
    except ValueError as wrong:
        raise PublishError(str(wrong)) from None
    if connects and (address.startswith("tcp://*:") or address.endswith((":*", ":0"))):
        raise PublishError(
            f"'{typed}' names no host to connect to; use >tcp://HOST:PORT"
        )
    return Endpoint(connects, address, needs_keys=beyond)


def default_endpoint() -> str:
    """A private ipc socket beside the black box. PublishError."""
    try:
        box = recording.box_path()
        beside = box is not None and box.suffix == ".box"
        folder = box.parent if box and beside else make_runtime_folder()
        path = folder / name_of(os.getpid(), "ipc")
    except OSError as error:
        raise PublishError(cause_of(error)) from None
    return f"@ipc://{path}"


def start(endpoint: str, hz: float = 10.0, server_key: str = "") -> None:
    """Publish at `endpoint` only, at most `hz` samples a second; ``on``: by default.

    `server_key`: the public key of the collector to connect to, or its file.
    PublishError: the previous publisher continues, if possible.
    """
    where = parse(default_endpoint() if endpoint == "on" else endpoint)
    box = recording.box_path()
    if box is None:
        raise PublishError(
            "publishing requires a black box; set c.MemWatch.record = True"
        )
    stream = _load()
    own, server, admitted = _keys(where, server_key)
    make = partial(
        stream.Publisher,
        box,
        interval_ns=round(_NS_PER_S / hz),
        own_secret_key=own.secret if own else None,
        own_public_key=own.public if own else None,
        server_key=server,
        admitted=admitted,
    )
    # Stop first: the new endpoint may be the same. The status has the assigned port.
    before, make_before = status(), _own.make
    stop()
    try:
        _run(make, str(where))
    except OSError as error:
        message = f"nothing is published: {cause_of(error)}"
        if before is not None and make_before is not None:
            with suppress(OSError):
                _run(make_before, before["endpoint"])
                still = readable(before["endpoint"])
                message = f"{cause_of(error)}; still published: {still}"
        raise PublishError(message) from None


def _run(make: partial[Publisher], endpoint: str) -> None:
    publisher = make(endpoint)
    with _own.lock:
        _own.publisher, _own.make = publisher, make
        _own.connects = endpoint.startswith(">")
    # After the recording's, so that it runs before: the publisher reads the box.
    atexit.register(stop)


def _follow_box() -> None:
    """Publish the new box."""
    with _own.lock:
        make = _own.make
    found = status()
    if make is None or found is None:
        return
    stop()
    try:
        _run(
            partial(make.func, recording.box_path(), **make.keywords), found["endpoint"]
        )
    except OSError as error:
        warn_once("publishing", f"memwatch does not publish: {cause_of(error)}")


recording.followers["publishing"] = _follow_box


def stop() -> None:
    """Stop publishing. Idempotent; raises nothing."""
    with _own.lock:
        publisher, _own.publisher, _own.make = _own.publisher, None, None
    if publisher is not None:
        atexit.unregister(stop)
        publisher.close()


def status() -> PublisherStatus | None:
    """The endpoint and the counts of messages; None: nothing is published."""
    with _own.lock:
        found = None if _own.publisher is None else _own.publisher.status()
        if found is not None:
            found["endpoint"] = f"{'>' if _own.connects else '@'}{found['endpoint']}"
    return found


def describe() -> str:
    """The status in one line."""
    found = status()
    if found is None:
        return "nothing"
    count = found["subscriptions"]
    text = (
        f"{readable(found['endpoint'])}: {found['sent']} messages,"
        f" {found['dropped']} dropped,"
        f" {count or 'no'} {'subscription' if count == 1 else 'subscriptions'}"
    )
    if found["refused"]:
        text += (
            f", {found['refused']} connections refused (their keys are not admitted)"
        )
    return text


def start_as_configured(endpoint: str, hz: float, server_key: str) -> None:
    """As start(), but only warn of errors."""
    try:
        start(endpoint, hz, server_key)
    except PublishError as wrong:
        warn_once("publishing", f"memwatch does not publish: {wrong}")


def _keys(
    where: Endpoint, server_key: str
) -> tuple[KeyPair | None, str | None, tuple[str, ...]]:
    """Own keys, the server's key, and the admitted ones, as far as needed."""
    if not where.needs_keys and not (where.connects and server_key):
        return None, None, ()
    from .keys import KeysError, admitted_keys, keys_folder, own_keys, public_key

    try:
        own = own_keys()
        if where.connects and server_key:
            return own, public_key(server_key), ()
        admitted = admitted_keys()
    except KeysError as error:
        raise PublishError(_reason(where, str(error))) from None
    if where.connects:
        raise PublishError(
            _reason(
                where,
                "set c.MemWatch.publish_server_key to the collector's public key",
            )
        )
    if not admitted:
        raise PublishError(
            _reason(
                where,
                "no public key is admitted; put those of allowed peers (*.key) into"
                f" {keys_folder() / 'admitted'}",
            )
        )
    return own, None, admitted


def _reason(where: Endpoint, why: str) -> str:
    if not where.needs_keys:
        return why
    return (
        f"{where} is reachable from other machines and therefore requires CURVE keys:"
        f" {why}"
    )


def _load() -> Any:
    try:
        from .. import _stream
    except ImportError:
        from ..optional import describe_missing

        raise PublishError(
            f"publishing requires libzmq; {describe_missing('publishing')}"
        ) from None
    return _stream


def _forget() -> None:
    """In a forked child, which does not publish."""
    _own.publisher = _own.make = None
    _own.lock = threading.Lock()
    atexit.unregister(stop)


os.register_at_fork(after_in_child=_forget)
