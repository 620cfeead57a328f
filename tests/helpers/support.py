"""Shared by many tests: the line, memory, interpreters, real kernels."""

from __future__ import annotations

import mmap
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import memwatch
from memwatch.run.kernels import use_sockets

MIB = 2**20

HELPERS = Path(__file__).parent
ROOT = HELPERS.parent.parent

CLASSIC = re.compile(
    r"In \[(?P<n>\d+)\] used (?P<used>-?\d+\.\d{4}) MiB RAM in \d+\.\d{2}s,"
    r" peaked (?P<peaked>\d+\.\d{2}) MiB above current,"
    r" total RAM usage (?P<total>\d+\.\d{2}) MiB"
    r"( \(\+\d+ child(ren)? [\d.?]+ [MG]iB PSS\))?"
)
CPU = re.compile(
    r"In \[(?P<n>\d+)\] used (?P<used>-?\d+\.\d) MiB RAM in \d+\.\d{2}s"
    r" \(system mean cpu (?P<mean>\d+%), single max cpu (?P<max>\d+%)\),"
    r" peaked (?P<peaked>\d+\.\d) MiB above final usage,"
    r" current RAM usage now (?P<total>\d+\.\d) MiB"
)


@dataclass(frozen=True)
class Line:
    """A parsed classic line."""

    n: int
    used: float
    peaked: float
    total: float


def lines_in(text: str) -> list[Line]:
    """The classic lines in `text`, each alone on its line."""
    found = []
    for line in text.splitlines():
        match = CLASSIC.fullmatch(line.strip())
        if match:
            values = (float(match[name]) for name in ("used", "peaked", "total"))
            found.append(Line(int(match["n"]), *values))
    return found


def pages(mib: int) -> mmap.mmap:
    """`mib` MiB of fresh memory, every page written, returned when it is dropped.

    From mmap, because malloc may reuse freed memory, which does not raise RSS.
    """
    memory = mmap.mmap(-1, mib * MIB, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
    memory[:: mmap.PAGESIZE] = b"x" * (len(memory) // mmap.PAGESIZE)
    return memory


def wait_for(
    condition: Callable[[], Any], seconds: float = 60, what: str = "condition"
) -> Any:
    """The result of `condition` as soon as it is true; AssertionError if it is late."""
    end = time.monotonic() + seconds
    while not (found := condition()):
        assert time.monotonic() < end, f"{what}: not true after {seconds} s"
        time.sleep(0.001)
    return found


UNTIL_INTERRUPTED = "import time\nwhile True: time.sleep(0.01)"
"""Code; one long sleep() would miss a signal that comes just before it begins."""

UNTIL_SAMPLED = """
def until_sampled():
    import glob, os, time
    def sleeps():
        count = 0
        for task in glob.glob(f"/proc/{os.getppid()}/task/*"):
            status = open(f"{task}/status").read()
            if status.startswith("Name:\\tmemwatch\\n"):
                count += int(status.split("\\nvoluntary_ctxt_switches:")[1].split()[0])
        return count
    before = sleeps()
    while sleeps() < before + 3:
        time.sleep(0.001)
"""
"""For a cell that `memwatch run` executes: until_sampled() returns after the sampler of
the parent process has taken samples. It sleeps after each sample."""


def hold(pipe: Any, mib: int) -> None:
    """In a child process: hold `mib` MiB, and more on request, until it gets None."""
    held = [pages(mib)] if mib else []
    pipe.send("ready")
    while (more := pipe.recv()) is not None:
        held.append(pages(more))
        pipe.send("ready")


def run_python(code: str, *arguments: str, **options: Any) -> str:
    """Run `code` in a fresh interpreter, which must succeed; its stdout."""
    return run_python_streams(code, *arguments, **options)[0]


def check_python(code: str, *arguments: str, **options: Any) -> None:
    """Run `code`, which has its own assertions, in a fresh interpreter to its end."""
    shown = run_python(f"{code}\nprint('at the end')\n", *arguments, **options)
    assert shown.endswith("at the end\n"), shown


def run_python_streams(code: str, *arguments: str, **options: Any) -> tuple[str, str]:
    """As run_python(); stdout and stderr."""
    done = subprocess.run(
        [sys.executable, *arguments, "-c", code],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
        **options,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout, done.stderr


def readable_copy(folder: Path) -> Path:
    """A copy of memwatch that the user nobody can read; see `open_folder`."""
    folder.chmod(0o755)
    package = Path(memwatch.__file__).parent
    shutil.copytree(package, folder / "memwatch", copy_function=shutil.copyfile)
    return folder


BECOME_NOBODY = """
import atexit, ctypes, os, sys, tempfile

def forget_memwatch():
    for name in [*sys.modules]:
        if name.split('.')[0] == 'memwatch':
            del sys.modules[name]

def become_nobody(dumpable):
    # From now on, modules must be imported already or be in a readable_copy().
    if os.getuid() == 0:
        os.setgroups([])
        os.setgid(65534)
        os.setuid(65534)
    assert ctypes.CDLL(None).prctl(4, dumpable, 0, 0, 0) == 0  # PR_SET_DUMPABLE
    # Another user has another runtime folder.
    folder = tempfile.TemporaryDirectory(prefix='memwatch-nobody-')
    atexit.register(folder.cleanup)
    os.environ['JUPYTER_RUNTIME_DIR'] = folder.name
"""
"""For run_python(): become the user nobody; with `dumpable` 0 /proc is not readable."""


NO_THREADS = """
import ctypes, errno, os, platform, resource, struct, sys

def refuse_threads(how):
    # From now on no thread can be created, for the given reason.
    if how == 'RLIMIT_NPROC':
        if os.getuid() == 0:
            # Counts nobody's processes; applies only without two capabilities of root.
            os.setresuid(65534, 0, 0)
            _drop_capabilities(21, 24)  # CAP_SYS_ADMIN, CAP_SYS_RESOURCE
        resource.setrlimit(resource.RLIMIT_NPROC, (1, 1))
    elif how == 'RLIMIT_AS':
        with open('/proc/self/statm') as file:
            size = int(file.read().split()[0]) * resource.getpagesize()
        resource.setrlimit(resource.RLIMIT_AS, (size + (4 << 20), -1))
    else:
        _refuse_clone(getattr(errno, how))

def _drop_capabilities(*capabilities):
    libc = ctypes.CDLL(None, use_errno=True)
    header = ctypes.create_string_buffer(struct.pack('Ii', 0x20080522, 0))
    data = (ctypes.c_uint32 * 6)()
    assert libc.capget(header, data) == 0, ctypes.get_errno()
    for capability in capabilities:
        data[0] &= ~(1 << capability)
        data[1] &= ~(1 << capability)
    assert libc.capset(header, data) == 0, ctypes.get_errno()

def _refuse_clone(number):
    # seccomp(2): clone and clone3 fail with that errno.
    clone, clone3 = {'x86_64': (56, 435), 'aarch64': (220, 435)}[platform.machine()]
    lines = (
        (0x20, 0, 0, 0),  # load the number of the call
        (0x15, 1, 0, clone3),
        (0x15, 0, 1, clone),
        (0x06, 0, 0, 0x00050000 | number),
        (0x06, 0, 0, 0x7FFF0000),
    )
    code = ctypes.create_string_buffer(
        b''.join(struct.pack('HBBI', *each) for each in lines))
    program = ctypes.create_string_buffer(
        struct.pack('HxxxxxxP', len(lines), ctypes.addressof(code)))
    libc = ctypes.CDLL(None, use_errno=True)
    assert libc.prctl(38, 1, 0, 0, 0) == 0  # PR_SET_NO_NEW_PRIVS
    assert libc.prctl(22, 2, program, 0, 0) == 0, ctypes.get_errno()  # PR_SET_SECCOMP
"""
"""For run_python(): refuse_threads(how), with one of `THREAD_FAILURES`."""
THREAD_FAILURES = ("RLIMIT_NPROC", "RLIMIT_AS", "EAGAIN", "EPERM")


class Kernel:
    """A real Jupyter kernel and its client."""

    def __init__(self, *arguments: str) -> None:
        from jupyter_client import KernelManager

        # Tests run in parallel: two kernels might get the same port.
        self.manager = KernelManager(kernel_name="python3")
        self._sockets = use_sockets(self.manager)
        self.manager.start_kernel(extra_arguments=["--log-level=ERROR", *arguments])
        self.client = self.manager.blocking_client()
        self.client.start_channels()
        try:
            self.client.wait_for_ready(timeout=60)
        except BaseException:
            self.close()
            raise

    def run(self, code: str, **options: Any) -> str:
        """Run a cell; its output, result and error as text."""
        return self.output_of(self.send(code, **options))

    def send(self, code: str, **options: Any) -> str:
        """Send a cell; its error does not stop later cells. The message id."""
        options.setdefault("stop_on_error", False)
        return self.client.execute(code, **options)

    def send_request(self, code: str, metadata: dict[str, Any], **header: Any) -> str:
        """Send a cell with metadata, as notebook front ends do. The message id."""
        content = {
            "code": code, "silent": False, "store_history": True,
            "user_expressions": {}, "allow_stdin": False, "stop_on_error": False,
        }  # fmt: skip
        session = self.client.session
        message = session.msg("execute_request", content, metadata=metadata)
        message["header"].update(header)
        self.client.shell_channel.send(message)
        return message["header"]["msg_id"]

    def messages_of(self, message_id: str) -> Iterator[tuple[str, Any]]:
        """The type and content of each output message of a cell that was sent."""
        while True:
            message = self.client.get_iopub_msg(timeout=60)
            if message["parent_header"].get("msg_id") != message_id:
                continue
            kind, content = message["msg_type"], message["content"]
            if kind == "status" and content["execution_state"] == "idle":
                return
            yield kind, content

    def output_of(self, message_id: str) -> str:
        """The text of a cell that was sent."""
        shown = []
        for kind, content in self.messages_of(message_id):
            match kind:
                case "stream":
                    shown.append(content["text"])
                case "execute_result" | "display_data":
                    shown.append(content["data"]["text/plain"] + "\n")
                case "error":
                    shown.append(f"{content['ename']}: {content['evalue']}\n")
        return "".join(shown)

    def reply_to(self, message_id: str) -> Any:
        """The reply on the shell channel to that request."""
        while True:
            message = self.client.get_shell_msg(timeout=60)
            if message["parent_header"].get("msg_id") == message_id:
                return message

    def line(self, code: str) -> Line:
        """Run a cell; its only memwatch line."""
        text = self.run(code)
        found = lines_in(text)
        assert len(found) == 1, text
        return found[0]

    def close(self) -> None:
        self.client.stop_channels()
        self.manager.shutdown_kernel(now=True)
        if self._sockets is not None:
            self._sockets.remove()
