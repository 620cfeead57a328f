"""A FUSE file system in memory with slow writes, like a slow network server.

``slow_file_system()`` mounts it. Another process serves it; stopped (SIGSTOP), it is a
server that hangs. Needs /dev/fuse and permission to mount.
"""

from __future__ import annotations

import contextlib
import ctypes
import errno
import os
import signal
import stat
import struct
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

_HEADER = struct.Struct("=IIQQIIIHH")
_ATTRIBUTES = struct.Struct("=6Q3I7I")
_MNT_DETACH = 2
_libc = ctypes.CDLL(None, use_errno=True)


class SlowFileSystem:
    """Mounted at `path`."""

    def __init__(self, path: Path, server: subprocess.Popen[str]) -> None:
        self.path = path
        self.server = server

    def hang(self) -> None:
        """Stop answering."""
        self.server.send_signal(signal.SIGSTOP)

    def resume(self) -> None:
        """Answer again."""
        self.server.send_signal(signal.SIGCONT)


@contextlib.contextmanager
def slow_file_system(path: Path, write_s: float = 0.05) -> Iterator[SlowFileSystem]:
    """Mount it at the folder `path`. OSError if that is not possible."""
    server = subprocess.Popen(
        [sys.executable, __file__, str(path), str(write_s)],
        stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    assert server.stdout is not None
    answer = server.stdout.readline().strip()
    try:
        if answer != "mounted":
            raise OSError(f"FUSE is not available: {answer}")
        yield SlowFileSystem(path, server)
    finally:
        server.send_signal(signal.SIGCONT)
        _libc.umount2(os.fsencode(path), _MNT_DETACH)
        server.kill()
        server.wait(60)
        server.stdout.close()


class _Node:
    def __init__(self, mode: int) -> None:
        self.mode, self.data = mode, bytearray()
        self.names: dict[bytes, int] = {}
        self.changed_ns = time.time_ns()


class _Server:
    def __init__(self, device: int, write_s: float) -> None:
        self.device, self.write_s = device, write_s
        self.nodes = {1: _Node(stat.S_IFDIR | 0o755)}

    def serve(self) -> None:
        while True:
            try:
                request = os.read(self.device, 1 << 20)
            except OSError as error:
                if error.errno in (errno.EINTR, errno.ENOENT):
                    continue
                return  # unmounted
            length, code, unique, number, *_ = _HEADER.unpack_from(request)
            body = request[_HEADER.size : length]
            if code in (2, 36, 42):  # FORGET, INTERRUPT, BATCH_FORGET: no answer
                continue
            try:
                answer, error_number = self._answer(code, number, body), 0
            except KeyError:
                answer, error_number = b"", errno.ENOENT
            except OSError as error:
                answer, error_number = b"", error.errno or errno.EIO
            head = struct.pack("=IiQ", 16 + len(answer), -error_number, unique)
            with contextlib.suppress(FileNotFoundError):  # the request was interrupted
                os.write(self.device, head + answer)

    def _answer(self, code: int, number: int, body: bytes) -> bytes:
        if code == 26:  # INIT
            return struct.pack(
                "=IIIIHHIIHHI28x", 7, 31, 0, 1 << 5, 12, 9, 1 << 17, 1, 0, 0, 0
            )
        node = self.nodes[number]
        if code == 1:  # LOOKUP
            return self._entry(node.names[body.rstrip(b"\0")])
        if code == 3:  # GETATTR
            return struct.pack("=QII", 0, 0, 0) + self._attributes(number)
        if code == 4:  # SETATTR
            valid, size, mode = (
                struct.unpack_from("=I", body)[0],
                struct.unpack_from("=Q", body, 16)[0],
                struct.unpack_from("=I", body, 68)[0],
            )
            if valid & 1:
                node.mode = stat.S_IFMT(node.mode) | stat.S_IMODE(mode)
            if valid & 8:
                node.data = node.data[:size].ljust(size, b"\0")
            return struct.pack("=QII", 0, 0, 0) + self._attributes(number)
        if code == 9:  # MKDIR
            mode = stat.S_IFDIR | struct.unpack_from("=I", body)[0]
            return self._entry(self._new(node, body[8:].rstrip(b"\0"), mode))
        if code == 35:  # CREATE
            mode = stat.S_IFREG | stat.S_IMODE(struct.unpack_from("=II", body)[1])
            made = self._new(node, body[16:].rstrip(b"\0"), mode)
            return self._entry(made) + struct.pack("=QII", 0, 0, 0)
        if code in (10, 11):  # UNLINK, RMDIR
            del node.names[body.rstrip(b"\0")]
            return b""
        if code in (12, 45):  # RENAME, RENAME2
            to = self.nodes[struct.unpack_from("=Q", body)[0]]
            before, after = body[8 if code == 12 else 16 :].rstrip(b"\0").split(b"\0")
            to.names[after] = node.names.pop(before)
            return b""
        if code in (14, 27):  # OPEN, OPENDIR
            return struct.pack("=QII", 0, 0, 0)
        if code == 15:  # READ
            offset, size = struct.unpack_from("=QI", body, 8)
            return bytes(node.data[offset : offset + size])
        if code == 16:  # WRITE
            offset, size = struct.unpack_from("=QI", body, 8)
            time.sleep(self.write_s)
            node.data = node.data.ljust(offset, b"\0")
            node.data[offset : offset + size] = body[40 : 40 + size]
            node.changed_ns = time.time_ns()
            return struct.pack("=II", size, 0)
        if code == 17:  # STATFS
            return struct.pack("=5Q4I24x", 0, 0, 0, 0, 0, 4096, 255, 4096, 0)
        if code == 28:  # READDIR
            offset = struct.unpack_from("=Q", body, 8)[0]
            entries = list(node.names.items())[offset:]
            found = b""
            for place, (name, child) in enumerate(entries, offset + 1):
                kind = stat.S_IFMT(self.nodes[child].mode) >> 12
                entry = struct.pack("=QQII", child, place, len(name), kind) + name
                found += entry.ljust(-(-len(entry) // 8) * 8, b"\0")
            return found
        if code in (18, 20, 25, 29):  # RELEASE, FSYNC, FLUSH, RELEASEDIR
            return b""
        raise OSError(errno.ENOSYS, "not implemented")

    def _new(self, folder: _Node, name: bytes, mode: int) -> int:
        number = len(self.nodes) + 1
        self.nodes[number] = _Node(mode)
        folder.names[name] = number
        return number

    def _entry(self, number: int) -> bytes:
        return struct.pack("=4QII", number, 0, 0, 0, 0, 0) + self._attributes(number)

    def _attributes(self, number: int) -> bytes:
        node = self.nodes[number]
        seconds, rest = divmod(node.changed_ns, 10**9)
        return _ATTRIBUTES.pack(
            number, len(node.data), 0, seconds, seconds, seconds, rest, rest, rest,
            node.mode, 1, os.geteuid(), os.getegid(), 0, 4096, 0,
        )  # fmt: skip


def _main(path: str, write_s: str) -> None:
    try:
        device = os.open("/dev/fuse", os.O_RDWR)
        options = f"fd={device},rootmode=40000,user_id={os.getuid()},group_id=0"
        if _libc.mount(b"slow", os.fsencode(path), b"fuse", 0, options.encode()) != 0:
            raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
    except OSError as error:
        print(error.strerror, flush=True)
        return
    print("mounted", flush=True)
    _Server(device, float(write_s)).serve()


if __name__ == "__main__":
    _main(*sys.argv[1:])
