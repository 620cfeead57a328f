"""Run one notebook: nbclient executes, memwatch measures."""

from __future__ import annotations

import asyncio
import atexit
import math
import socket
import time
from subprocess import DEVNULL
from typing import Any

from nbclient import NotebookClient
from nbclient.exceptions import (
    CellExecutionError,
    CellTimeoutError,
    DeadKernelError,
)
from nbformat import NotebookNode

from ..display.units import mib
from ..measure import capabilities
from ..report import Status, iso_8601, telling_line
from ..warn import cause_of
from .execution import (
    Options,
    Progress,
    code_cells,
    how_it_ended,
    is_interrupt,
    one_line,
    oom_kills,
)
from .kernels import (
    KernelMemory,
    KernelOutput,
    SocketFolder,
    is_local,
    use_sockets,
)
from .progress import Listener
from .results import CellRun, CellState, NotebookRun, NotebookState
from .signals import Stop


async def run_notebook(
    notebook: NotebookNode,
    path: str,
    options: Options,
    listener: Listener | None = None,
    stop: Stop | None = None,
) -> NotebookRun:
    """Execute `notebook` in place, and measure each cell; `path` is for the result.

    Errors of the notebook and its kernel are in the result. If it is cancelled after
    `stop` was requested, the result is `interrupted`.
    """
    runner = Runner(notebook, path, options, listener, stop)
    run = await runner.run()
    runner.listener.ended(run)
    runner.report_output(run)
    return run


class _Client(NotebookClient):
    """Reports a failed cell to the runner before the kernel is shut down."""

    def __init__(self, runner: Runner, notebook: NotebookNode, **traits: Any) -> None:
        super().__init__(notebook, **traits)
        self._runner = runner

    def create_kernel_manager(self) -> Any:
        return self._runner.prepare(super().create_kernel_manager())

    async def async_start_new_kernel(self, **options: Any) -> None:
        await super().async_start_new_kernel(**self._runner.streams(), **options)

    async def async_start_new_kernel_client(self) -> Any:
        # nbclient's limit has whole seconds.
        limit = self._runner.options.startup_timeout
        starting = super().async_start_new_kernel_client()
        try:
            return await asyncio.wait_for(starting, limit)
        except asyncio.TimeoutError:
            raise TimeoutError(f"not ready after {limit:g} s") from None

    async def async_execute_cell(self, *arguments: Any, **options: Any) -> NotebookNode:
        try:
            return await super().async_execute_cell(*arguments, **options)
        except BaseException as error:
            self._runner.failed(error)
            raise


class Runner:
    """Runs one notebook, and collects nbclient's events to a NotebookRun.

    run() uses our own client. Another `client` must call begin(), prepare(), the
    hooks(), failed() and can_retry(), and at the end release() and result().
    """

    def __init__(
        self,
        notebook: NotebookNode,
        path: str,
        options: Options,
        listener: Listener | None = None,
        stop: Stop | None = None,
        client: NotebookClient | None = None,
    ) -> None:
        self.notebook = notebook
        self.path = path
        self.options = options
        self.listener = listener or Listener()
        self.stop = stop or Stop()
        self.progress = Progress(code_cells(notebook))
        self.client = client or self._own_client()
        self._sockets: SocketFolder | None = None
        self._output: KernelOutput | None = None
        self._is_retried = False
        self._started_ns, self._began_ns = time.time_ns(), time.monotonic_ns()

    def _own_client(self) -> NotebookClient:
        options = self.options
        # Otherwise the notebook's own.
        kernel = options.kernel_name
        given: Any = {} if kernel is None else {"kernel_name": kernel}
        return _Client(
            self,
            self.notebook,
            # A function, because the trait `timeout` has whole seconds.
            timeout_func=lambda cell: options.timeout,
            startup_timeout=math.ceil(options.startup_timeout) + 1,
            allow_errors=options.allow_errors,
            resources={}
            if options.cwd is None
            else {"metadata": {"path": options.cwd}},
            **self.hooks(),
            **given,
        )

    def hooks(self) -> dict[str, Any]:
        """Nbclient's hooks by name."""
        return {
            "on_notebook_start": self._on_notebook_start,
            "on_cell_execute": self._on_cell_execute,
            "on_cell_executed": self._on_cell_executed,
        }

    async def run(self) -> NotebookRun:
        """Execute it with our own client."""
        self.begin()
        return self.result(*await self._execute())

    def begin(self) -> None:
        """Note the start."""
        self.listener.begun(self.path, len(self.progress.cells))
        self._started_ns, self._began_ns = time.time_ns(), time.monotonic_ns()

    def result(self, state: NotebookState, message: str | None) -> NotebookRun:
        """The result, after the end."""
        reports = [report for _, report in self.progress.done.values() if report]
        peaks = [each.rss_peak_bytes for each in reports if each.rss_peak_bytes]
        limit, _ = capabilities.find_limit({})
        return NotebookRun(
            notebook=self.path,
            state=state,
            message=message or self._not_measured(),
            kernel_name=self.client.kernel_name or self._default_kernel(),
            language=self.notebook.metadata.get("language_info", {}).get("name"),
            kernel_pid=self.progress.pid,
            host=socket.gethostname(),
            started_at=iso_8601(self._started_ns),
            duration_ns=time.monotonic_ns() - self._began_ns,
            rss_peak_bytes=max(peaks, default=None),
            limit_bytes=limit["limit_bytes"],
            limit_set_by=limit["set_by"],
            cells=[self.cell_run(index) for index in self.progress.cells],
        )

    def streams(self) -> dict[str, int]:
        """The kernel's stdout and stderr, as Popen's arguments; {}: ours."""
        if self._output is None:
            if not (self.listener.wants_output and is_local(self.client.km)):
                return {}
            try:
                self._output = KernelOutput()
            except OSError:  # neither memory nor a disk has room
                return {"stdout": DEVNULL, "stderr": DEVNULL}
        return {"stdout": self._output.fd, "stderr": self._output.fd}

    def report_output(self, run: NotebookRun) -> None:
        """Report what the kernel of `run` wrote, once."""
        output, self._output = self._output, None
        if output is not None:
            self.listener.wrote(run, output.close())

    async def _execute(self) -> tuple[NotebookState, str | None]:
        try:
            try:
                await self.client.async_execute()
            except RuntimeError as error:
                if not self.can_retry(error):
                    raise
                await self.client.async_execute()
        except (Exception, asyncio.CancelledError) as error:
            return self.outcome(error)
        finally:
            await self._clean_up()
            self.release()
        return "ok", None

    async def _clean_up(self) -> None:
        """Clean up after nbclient, which does not if the kernel did not start."""
        # It would cause a traceback at the end of the process.
        atexit.unregister(self.client._cleanup_kernel)
        if self.client.km is not None and self.client.km.has_kernel:
            self.client.shutdown_kernel = "immediate"
            await self.client._async_cleanup_kernel()

    def prepare(self, manager: Any) -> Any:
        """The kernel's manager, before it starts the kernel."""
        if not self._is_retried:
            self._sockets = use_sockets(manager)
        return manager

    def release(self) -> None:
        """The kernel has ended, or did not start."""
        if self._sockets is not None:
            self._sockets.remove()
            self._sockets = None

    def can_retry(self, error: RuntimeError) -> bool:
        """Whether to execute again, after that error.

        Once, if the kernel died before it was ready: another process may have taken its
        port, or it may not support Unix sockets, which are not used again.
        """
        has_died = not self.progress.is_started and "died" in str(error)
        if not has_died or self._is_retried or self.stop.requested:
            return False
        self.release()
        self._is_retried = True
        return True

    def outcome(self, error: BaseException) -> tuple[NotebookState, str]:
        """The state of the notebook after that error."""
        from jupyter_client.kernelspec import NoSuchKernel

        if isinstance(error, NoSuchKernel):
            return "no kernel", (
                f"no kernel '{error.name}' on this machine; `jupyter kernelspec list`"
                " lists them, --kernel NAME selects another"
            )
        if self.progress.failure is not None:
            return self.progress.failure
        if is_interrupt(error):
            return "interrupted", "interrupted between cells"
        if not self.progress.is_started:
            return "no kernel", f"the kernel does not start: {one_line(error)}"
        return "error", f"{type(error).__name__}: {one_line(error)}"

    def _raised(self, error: CellExecutionError) -> tuple[str, str]:
        """Its name and text, from the cell's output.

        If a repr raises, the kernel's reply has neither.
        """
        index = max(self.progress.done, default=None)
        outputs = [] if index is None else self.notebook.cells[index].outputs
        for each in reversed(outputs):
            if each.output_type == "error":
                return each.ename, each.evalue
        return error.ename, error.evalue

    def failed(self, error: BaseException) -> None:
        """A cell has failed; the kernel is not shut down yet."""
        if self.progress.failure is None:
            self.progress.failure = self._failure(error)

    def _failure(self, error: BaseException) -> tuple[NotebookState, str]:
        where = self._where()
        # nbclient reports a cancellation as the kernel's death.
        if is_interrupt(error) or self.stop.requested:
            self._close("interrupted", "interrupted")
            return "interrupted", f"interrupted in {where}"
        if isinstance(error, CellExecutionError):
            name, value = self._raised(error)
            return "error", " ".join(f"{where} raised {name}: {value}".split())
        if isinstance(error, CellTimeoutError):
            self._close("timeout", "interrupted")
            return "timeout", f"{where} took longer than {self.options.timeout:g} s"
        if isinstance(error, DeadKernelError) or not self._is_alive():
            return self._died()
        self._close("error", "error")
        return "error", f"{where}: {type(error).__name__}: {one_line(error)}"

    # ---- nbclient's hooks ----

    async def _on_notebook_start(self, notebook: NotebookNode) -> None:
        manager: Any = self.client.km
        provisioner = manager.provisioner
        self.progress.is_started = True
        # Kernels on other machines have neither. The provisioner drops the process when
        # it has ended.
        self.progress.pid = getattr(provisioner, "pid", None)
        self.progress.process = getattr(provisioner, "process", None)
        self.progress.kills_before = oom_kills()
        try:
            if self.progress.pid is None:
                raise OSError("the kernel does not run on this machine")
            self.progress.memory = KernelMemory(
                self.progress.pid, with_children=self.options.children
            )
        except OSError as error:
            self.progress.why_not = cause_of(error)

    async def _on_cell_execute(self, cell: NotebookNode, cell_index: int) -> None:
        progress = self.progress
        progress.running = cell_index
        # Remove outputs of an earlier run; cells that are not executed keep theirs.
        cell.outputs, cell.execution_count = [], None
        place = progress.cells.index(cell_index) + 1
        self.listener.cell(self.path, place, cell.source, progress.memory)
        try:
            if progress.memory is not None:
                progress.memory.open()
        except OSError as error:
            progress.why_not = cause_of(error)

    async def _on_cell_executed(
        self, cell: NotebookNode, cell_index: int, execute_reply: dict[str, Any]
    ) -> None:
        if execute_reply["content"]["status"] == "ok":
            self._close("ok", "ok")
        else:
            self._close("error", "error")

    # ---- the end of a cell ----

    def _close(self, state: CellState, status: Status) -> None:
        progress = self.progress
        index, progress.running = progress.running, None
        if index is None:
            return
        report = None
        if progress.memory is not None:
            report = progress.memory.close(status, **self._title(index))
        progress.done[index] = (state, report)

    def _died(self) -> tuple[NotebookState, str]:
        where, progress = self._where(), self.progress
        index, progress.running = progress.running, None
        report = None
        if index is not None:
            if progress.memory is not None:
                report = progress.memory.close("died", **self._title(index))
            progress.done[index] = ("died", report)
        held = ""
        if report is not None:
            held = f" at {mib(report.rss_end_bytes)} MiB, its last sample"
        return "died", f"the kernel {how_it_ended(progress)} in {where}{held}"

    def _not_measured(self) -> str | None:
        memory = self.progress.memory
        why = self.progress.why_not or (memory and memory.why_not)
        return None if why is None else f"not everything was measured: {why}"

    def _default_kernel(self) -> str | None:
        """The kernel of a notebook that names none."""
        name = getattr(self.client.km, "kernel_name", "")
        return str(name) or None

    def _is_alive(self) -> bool:
        return self.progress.process is None or self.progress.process.poll() is None

    def _where(self) -> str:
        index = self.progress.running
        if index is None and self.progress.done:
            index = max(self.progress.done)
        if index is None:
            return "no cell"
        place = self.progress.cells.index(index) + 1
        source = self._title(index)["source"]
        return f"code cell {place} of {len(self.progress.cells)} ({source})"

    def _title(self, index: int) -> dict[str, Any]:
        cell = self.notebook.cells[index]
        count = self.client.code_cells_executed
        return {
            "label": f"In [{count}]",
            "execution_count": count,
            "cell_id": cell.get("id"),
            "source": telling_line(cell.source),
        }

    def cell_run(self, index: int) -> CellRun:
        """The result of the cell with that index."""
        state, report = self.progress.done.get(index, ("not run", None))
        source = self.notebook.cells[index].source
        return CellRun(cell_index=index, state=state, report=report, source=source)
