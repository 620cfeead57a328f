"""papermill's engine ``memwatch``: papermill executes, memwatch measures."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

from nbclient.exceptions import CellExecutionError
from nbclient.util import run_hook
from papermill.clientwrap import PapermillNotebookClient
from papermill.engines import NBClientEngine
from papermill.log import logger
from papermill.utils import merge_kwargs, remove_args

from .execution import Options
from .output import metadata
from .results import NotebookState
from .runner import Runner

Hook = Callable[..., Any]


class MemwatchEngine(NBClientEngine):  # type: ignore[misc]
    """``papermill in.ipynb out.ipynb --engine memwatch``."""

    @classmethod
    def execute_managed_notebook(
        cls,
        nb_man: Any,
        kernel_name: str,
        log_output: bool = False,
        start_timeout: int = 60,
        execution_timeout: int | None = None,
        **options: Any,
    ) -> Any:
        """Execute it as papermill's own engine does, with a client that measures.

        The body repeats that engine's, which names its client's class.
        """
        path = options.pop("input_path", None)
        traits = merge_kwargs(
            remove_args(["timeout", "startup_timeout"], **options),
            timeout=execution_timeout or options.get("timeout"),
            startup_timeout=start_timeout,
            kernel_name=kernel_name,
            log=logger,
            log_output=log_output,
        )
        return _Client(nb_man, path, **traits).execute()


class _Client(PapermillNotebookClient):  # type: ignore[misc]
    def __init__(self, nb_man: Any, path: str | None, **traits: Any) -> None:
        super().__init__(nb_man, **traits)
        # A notebook object has no path.
        self._runner = Runner(
            self.nb, str(path or "-"), Options(timeout=self.timeout), client=self
        )
        for name, ours in self._runner.hooks().items():
            setattr(self, name, _both(ours, getattr(self, name)))

    def execute(self, **options: Any) -> Any:
        """As papermill's; then write the notebook's figures."""
        metadata.strip(self.nb)
        self._runner.begin()
        state: NotebookState = "ok"
        message: str | None = None
        try:
            executed = self._execute(**options)
            # papermill stops at a cell that raises, and raises later.
            if self._runner.progress.failure is not None:
                state, message = self._runner.progress.failure
            return executed
        except BaseException as error:
            state, message = self._runner.outcome(error)
            raise
        finally:
            self._runner.release()
            run = self._runner.result(state, message)
            metadata.apply(self.nb, replace(run, output=self.nb_man.output_path))

    def _execute(self, **options: Any) -> Any:
        try:
            return super().execute(**options)
        except RuntimeError as error:
            if not self._runner.can_retry(error):
                raise
            return super().execute(**options)

    def create_kernel_manager(self) -> Any:
        """As nbclient's."""
        return self._runner.prepare(super().create_kernel_manager())

    def execute_cell(self, cell: Any, cell_index: int, **options: Any) -> Any:
        """As nbclient's; papermill writes the notebook right after it."""
        try:
            return super().execute_cell(cell, cell_index, **options)
        except BaseException as error:
            self._runner.failed(error)
            # For papermill only these are failures: it would report a cell whose kernel
            # was killed as 'completed'.
            if not isinstance(error, CellExecutionError):
                self.nb_man.cell_exception(cell, cell_index=cell_index, exception=error)
            raise
        finally:
            if cell_index in self._runner.progress.done:
                metadata.apply_cell(self.nb, self._runner.cell_run(cell_index))


def _both(ours: Hook, theirs: Hook | None) -> Hook:
    """Papermill's caller may have hooks, too."""

    async def call(**arguments: Any) -> None:
        await run_hook(ours, **arguments)
        await run_hook(theirs, **arguments)

    return call
