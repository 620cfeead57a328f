"""Where the stream may go: what an endpoint says, and whether it leaves the machine."""

from __future__ import annotations

import os

__all__ = ["is_beyond"]

_FORM = "expected ipc://PATH or tcp://ADDRESS:PORT"
_MAX_PATH_BYTES = 107
"""Of a Unix socket: sun_path."""


def is_beyond(endpoint: str, *, connects: bool) -> bool:
    """Whether others than this machine's can be reached by it.

    A name other than localhost is taken to be beyond: what it stands for may change.
    ``lo`` is an interface to who binds; who connects has libzmq look it up as a host.
    ValueError, in one line, where it is no endpoint.
    """
    scheme, separator, rest = endpoint.partition("://")
    if not separator or not rest or not _is_clean(endpoint):
        raise ValueError(f"invalid endpoint {endpoint!r}: {_FORM}")
    if scheme == "ipc":
        if not rest.startswith("/"):
            # Of ipc://@NAME, which is no file, nobody could be kept away.
            raise ValueError(
                f"{endpoint}: expected an absolute path, ipc:///FOLDER/NAME"
            )
        if len(os.fsencode(rest)) > _MAX_PATH_BYTES:
            raise ValueError(
                f"{endpoint}: the path of a socket has at most {_MAX_PATH_BYTES} bytes;"
                " use a shorter one, or set JUPYTER_RUNTIME_DIR to a shorter path"
            )
        return False
    if scheme != "tcp":
        raise ValueError(f"invalid endpoint {endpoint!r}: {_FORM}")
    address, separator, port = rest.rpartition(":")
    if not separator or not address or ";" in address:
        raise ValueError(f"invalid endpoint {endpoint!r}: {_FORM}")
    if port != "*" and not (port.isascii() and port.isdigit() and int(port) < 65536):
        raise ValueError(f"{endpoint}: invalid port {port!r}")
    if address == "localhost" or (address == "lo" and not connects):
        return False
    import ipaddress  # a millisecond, which few need

    try:
        return not ipaddress.ip_address(address.strip("[]")).is_loopback
    except ValueError:
        return True


def _is_clean(endpoint: str) -> bool:
    """Whether it has no control characters; a path may have bytes of no encoding."""
    return all(each.isprintable() or "\udc80" <= each <= "\udcff" for each in endpoint)
