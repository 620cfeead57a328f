"""CURVE keys of a collector, and the authenticator that admits publishers."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from ..stream.endpoints import is_beyond

DOMAIN = "memwatch"
"""The ZAP domain of the bound socket."""


class CollectorError(Exception):
    """The collector cannot listen; one line says why and what to do."""


@dataclass(frozen=True)
class Keys:
    """The keys of a collector; None: not encrypted."""

    connect: tuple[str, str, str] | None = None
    """Own public key, own secret key, and the publisher's public key."""
    bind: str | None = None
    """Own secret key."""
    admitted: int | None = None
    """Number of admitted publishers' keys at the start."""


def find_keys(
    connect: list[str], bind: str | None, server_key: str | None, *, curve: bool
) -> Keys:
    """The keys that the endpoints need. CollectorError: invalid endpoint, missing key.

    >>> find_keys([], "tcp://127.0.0.1:5555", None, curve=False)
    Keys(connect=None, bind=None, admitted=None)
    """
    from ..stream.keys import KeysError, admitted_keys, own_keys, public_key

    try:
        beyond = [each for each in connect if is_beyond(each, connects=True)]
        encrypted = bind is not None and (is_beyond(bind, connects=False) or curve)
        if beyond and server_key is None:
            raise CollectorError(
                f"{beyond[0]} is on another machine: give its public key with"
                " --server-key"
            )
        if server_key is not None and not connect:
            raise CollectorError(
                "--server-key requires --connect; for --bind, put the publishers'"
                " public keys into admitted/ in the keys folder"
            )
        if server_key is None and not encrypted:
            return Keys()
        public, secret = own_keys()
        return Keys(
            connect=(
                None if server_key is None else (public, secret, public_key(server_key))
            ),
            bind=secret if encrypted else None,
            admitted=len(admitted_keys()) if encrypted else None,
        )
    except (KeysError, ValueError) as error:
        raise CollectorError(str(error)) from None


def authenticator(context: Any) -> Any:
    """A running authenticator; it reads the admitted keys again for each connection."""
    from zmq.auth.thread import ThreadAuthenticator

    from ..stream.keys import KeysError, admitted_keys

    class Admitted:
        def callback(self, domain: str, key: bytes) -> bool:
            try:
                return key.decode() in admitted_keys()
            except KeysError:
                return False  # unreadable keys admit nobody

    running = ThreadAuthenticator(context)
    running.start()
    running.configure_curve_callback(domain=DOMAIN, credentials_provider=Admitted())
    return running
