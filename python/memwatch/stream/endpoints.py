"""Check ZeroMQ endpoints."""

from __future__ import annotations

import os

_FORM = "expected ipc://PATH or tcp://ADDRESS:PORT"
_MAX_PATH_BYTES = 107
"""Of a Unix socket: sun_path."""


def is_beyond(endpoint: str, *, connects: bool) -> bool:
    """Whether other machines can reach the endpoint.

    Host names other than localhost count as other machines, because their address may
    change. ``lo`` is an interface to bind, but a host name to connect. ValueError, one
    line: invalid endpoint.
    """
    scheme, separator, rest = endpoint.partition("://")
    if not separator or not rest or not _is_clean(endpoint):
        raise ValueError(f"invalid endpoint {endpoint!r}: {_FORM}")
    if scheme == "ipc":
        if not rest.startswith("/"):
            # ipc://@NAME is not a file and has no permissions.
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
    import ipaddress  # takes 1 ms

    try:
        return not ipaddress.ip_address(address.strip("[]")).is_loopback
    except ValueError:
        return True


def _is_clean(endpoint: str) -> bool:
    """Whether it has no control characters; undecodable bytes of a path are allowed."""
    return all(each.isprintable() or "\udc80" <= each <= "\udcff" for each in endpoint)
