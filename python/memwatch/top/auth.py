"""Who may send to a collector, and by which keys it is known itself."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from ..stream.endpoints import is_beyond

__all__ = ["DOMAIN", "CollectorError", "Keys", "authenticator", "find_keys"]

DOMAIN = "memwatch"
"""By which the authenticator knows the socket."""


class CollectorError(Exception):
    """It cannot listen, and why, in one line that says what to do."""


@dataclass(frozen=True)
class Keys:
    """None where nothing is encrypted."""

    connect: tuple[str, str, str] | None = None
    """Our public and secret key, and the public one of who is called."""
    bind: str | None = None
    """Our secret key."""
    admitted: int | None = None
    """How many others' keys there were then."""


def find_keys(
    connect: list[str], bind: str | None, server_key: str | None, *, curve: bool
) -> Keys:
    """What these take. CollectorError: an endpoint is none, or a key is missing."""
    from ..stream.keys import KeysError, admitted_keys, own_keys, public_key

    try:
        beyond = [each for each in connect if is_beyond(each, connects=True)]
        encrypted = bind is not None and (is_beyond(bind, connects=False) or curve)
        if beyond and server_key is None:
            raise CollectorError(
                f"{beyond[0]} is beyond this machine: give the public key of who"
                " listens there by --server-key"
            )
        if server_key is not None and not connect:
            raise CollectorError(
                "--server-key is for --connect; whom --bind admits is in the folder"
                " of keys, in admitted/"
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
    """Admits those whose public key is in the folder when they knock."""
    from zmq.auth.thread import ThreadAuthenticator

    from ..stream.keys import KeysError, admitted_keys

    class Admitted:
        def callback(self, domain: str, key: bytes) -> bool:
            try:
                return key.decode() in admitted_keys()
            except KeysError:
                return False  # one that cannot be read admits nobody

    running = ThreadAuthenticator(context)
    running.start()
    running.configure_curve_callback(domain=DOMAIN, credentials_provider=Admitted())
    return running
