"""CURVE keys of kernels and collectors, and of their allowed peers.

Certificates as in czmq and pyzmq (ZPL): ``NAME.key`` has the public key,
``NAME.key_secret`` both. ``admitted/`` has the public keys of allowed peers.
"""

from __future__ import annotations

import os
import re
import sys
from pathlib import Path
from typing import Any, NamedTuple

from ..blackbox.folders import home_folder
from ..files import write_whole
from ..warn import cause_of

_LENGTH = 40
_KEY = re.compile(r"[0-9a-zA-Z.\-:+=^!/*?&<>()\[\]{}@%$#]{40}")
"""Z85, https://rfc.zeromq.org/spec/32."""
_LINE = re.compile(r"""^\s*(public|secret)-key\s*=\s*["']?([^"'\s]+)["']?\s*$""", re.M)
_NAME = re.compile(r"[\w-][\w.-]{0,99}", re.ASCII)

_LARGEST_FILE = 64 * 1024


class KeysError(Exception):
    """A key is missing or invalid; one line says why and what to do."""


class KeyPair(NamedTuple):
    """Two keys of 40 characters."""

    public: str
    secret: str


def keys_folder() -> Path:
    """``memwatch/keys`` in Jupyter's configuration folder; it may not exist.

    KeysError: the home folder is unknown.
    """
    return Path(_jupyter_config_folder(), "memwatch", "keys")


def make_keys(name: str = "own") -> tuple[Path, Path]:
    """Create a pair, ``NAME.key`` and ``NAME.key_secret`` (mode 0600); both paths.

    KeysError; never overwrites a key.
    """
    if not _NAME.fullmatch(name):
        raise KeysError(
            f"invalid key name '{name}': use letters, digits, '-', '_' and '.'"
        )
    folder = keys_folder()
    public, secret = folder / f"{name}.key", folder / f"{name}.key_secret"
    for path in (public, secret):
        if os.path.lexists(path):
            raise KeysError(f"{path} already exists; remove it or use another name")
    stream = _stream()
    try:
        for each in (folder, folder / "admitted"):
            each.mkdir(mode=0o700, parents=True, exist_ok=True)
        folder.chmod(0o700)
        pair = KeyPair(*stream.make_keys())
        # The secret key first: the public key is useless without it.
        write_whole(secret, _certificate(pair.public, pair.secret), new_mode=0o600)
        write_whole(public, _certificate(pair.public))
    except OSError as error:
        raise KeysError(
            f"cannot create keys in {folder}: {error.strerror or cause_of(error)}"
        ) from None
    return public, secret


def own_keys() -> KeyPair:
    """The pair that ``memwatch keygen`` created. KeysError."""
    path = keys_folder() / "own.key_secret"
    try:
        mode = path.stat().st_mode
    except FileNotFoundError:
        raise KeysError(
            f"no own key ({path}); create one with: memwatch keygen"
        ) from None
    except OSError as error:
        raise KeysError(f"{path}: {error.strerror}") from None
    if mode & 0o077:
        raise KeysError(f"{path} is readable by other users; run: chmod 600 {path}")
    found = _read(path)
    if "secret" not in found:
        raise KeysError(
            f"{path} contains no secret key; create one with: memwatch keygen"
        )
    try:
        belongs = _stream().public_key(found["secret"])
    except OSError as error:
        raise KeysError(f"{path}: {cause_of(error)}") from None
    return KeyPair(belongs, found["secret"])


def public_key(given: str) -> str:
    """The key in `given`: 40 characters, or a file that has them. KeysError."""
    path = Path(os.path.expanduser(given))
    # The characters may also be the path of a file.
    if _KEY.fullmatch(given) and not path.is_file():
        return given
    found = _read(path)
    if "public" not in found:
        raise KeysError(f"{path} contains no public key")
    return found["public"]


def admitted_keys() -> tuple[str, ...]:
    """The public keys in ``admitted/``, sorted. KeysError."""
    folder = keys_folder() / "admitted"
    try:
        paths = sorted(folder.glob("*.key"))
    except OSError as error:
        raise KeysError(f"{folder}: {error.strerror}") from None
    return tuple(sorted({public_key(str(path)) for path in paths}))


def _certificate(public: str, secret: str | None = None) -> list[str]:
    kind, use = (
        ("Public", "Give it to your peers.")
        if secret is None
        else ("**Secret**", "Keep it private.")
    )
    lines = [
        f"#   ZeroMQ CURVE {kind} Certificate, made by memwatch keygen\n",
        f"#   {use}\n",
        "\nmetadata\ncurve\n",
        f'    public-key = "{public}"\n',
    ]
    if secret is not None:
        lines.append(f'    secret-key = "{secret}"\n')
    return lines


def _read(path: Path) -> dict[str, str]:
    """The keys of the file by kind: ``public``, ``secret``."""
    try:
        with open(path, encoding="utf-8", errors="replace") as file:
            text = file.read(_LARGEST_FILE)
    except OSError as error:
        raise KeysError(f"cannot read the key {path}: {error.strerror}") from None
    text = re.sub(r"(?m)^\s*#.*$", "", text)
    found = dict(_LINE.findall(text))
    for kind, key in found.items():
        if not _KEY.fullmatch(key):
            raise KeysError(
                f"{path}: invalid {kind} key: expected {_LENGTH} characters of Z85"
            )
    return found


def _stream() -> Any:
    try:
        from .. import _stream
    except ImportError:
        from ..optional import describe_missing

        raise KeysError(
            f"keys require libzmq; {describe_missing('publishing')}"
        ) from None
    return _stream


def _jupyter_config_folder() -> str:
    # As in blackbox/folders.py: importing jupyter_core takes 6 ms.
    folder = os.environ.get("JUPYTER_CONFIG_DIR")
    if folder:
        return folder
    home = home_folder()
    if home is None:
        raise KeysError(
            "the home directory is unknown; set HOME, or set JUPYTER_CONFIG_DIR to the"
            " directory of memwatch/keys"
        )
    paths = sys.modules.get("jupyter_core.paths")
    if paths is not None:
        return str(paths.jupyter_config_dir())
    return os.path.join(home, ".jupyter")
