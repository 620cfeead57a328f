"""A batch of notebooks: read, run, check budgets, write outputs."""

from __future__ import annotations

import dataclasses
import os
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from ..files import check_writable
from ..optional import MissingLibraryError
from ..warn import cause_of
from . import inputs, notebook_files, parameters
from .batch import Job, OnRun, run_all
from .budgets import baseline, budgets
from .budgets.budgets import Size
from .budgets.violations import Violation
from .execution import Options
from .output import exports, metadata, page, summary
from .progress import Listener
from .results import NotebookRun
from .signals import Stop

RunAll = Callable[[Sequence[Job], OnRun, Listener, Stop], list[NotebookRun]]
"""Runs jobs, here or on a cluster."""


@dataclass(frozen=True, kw_only=True)
class Outputs:
    """The files about all notebooks; None: not written; ``-``: stdout."""

    json: str | None = None
    csv: str | None = None
    html: str | None = None
    markdown: str | None = None

    def check(self, tasks: Sequence[inputs.Task]) -> None:
        """Check that each can be written, and is not a notebook of `tasks`.

        Creates their folders. InputError, MissingLibraryError.
        """
        taken = {os.path.realpath(each.notebook) for each in tasks}
        taken |= {os.path.realpath(each.output) for each in tasks if each.output}
        for option, path in dataclasses.asdict(self).items():
            if path is None:
                continue
            if path == "-":
                if sys.stdout is None:
                    raise notebook_files.InputError(f"--{option} -: stdout is closed")
                continue
            try:
                check_writable(path)
            except OSError as error:
                raise notebook_files.InputError(
                    f"--{option}: cannot write {path}: {cause_of(error)}"
                ) from None
            target = os.path.realpath(path)
            if target in taken:
                raise notebook_files.InputError(
                    f"--{option}: {path} is a notebook of this run or the file of"
                    " another option; use another name"
                )
            taken.add(target)
        if self.html is not None:
            page.render([])


@dataclass
class Batch:
    """Several notebooks, their results, and their violations."""

    max_peak: Size | None = None
    max_used: Size | None = None
    earlier: Sequence[NotebookRun] = ()
    tolerance: Size | None = None
    with_metadata: bool = True
    violations: list[Violation] = field(default_factory=list)
    errors: list[str] = field(default_factory=list)
    """Inputs and outputs that failed, one line each."""
    remarks: list[str] = field(default_factory=list)
    """Further messages, one line each."""
    reports: list[str] = field(default_factory=list)
    """The files about all notebooks that were written."""
    _jobs: list[Job] = field(default_factory=list)

    @property
    def runs(self) -> list[NotebookRun]:
        """The results so far, in the order of the notebooks."""
        return [job.run for job in self._jobs if job.run is not None]

    def add(
        self, task: inputs.Task, options: Options, values: dict[str, object]
    ) -> None:
        """Read a notebook; if that fails, note an error."""
        path = task.notebook
        notes: list[str] = []
        try:
            notebook = notebook_files.read_notebook(path, notes=notes)
            notebook = parameters.inject(notebook, values, options.kernel_name)
            # After the parameters' cell was added: by cell index.
            limits = budgets.read_budgets(notebook, self.max_peak, self.max_used)
            if options.cwd is None:
                folder = os.path.dirname(os.path.abspath(path))
                options = dataclasses.replace(options, cwd=folder)
        except notebook_files.InputError as error:
            text = str(error)
            self.errors.append(text if text.startswith(path) else f"{path}: {text}")
            return
        except budgets.BudgetError as error:
            self.errors.append(f"{path}: {error}")
            return
        except (MemoryError, MissingLibraryError):
            raise
        except Exception as error:  # for hostile content
            reason = " ".join(f"{type(error).__name__} {error}".split())
            self.errors.append(f"{path}: cannot be prepared ({reason})")
            return
        try:
            if task.output is not None:
                check_writable(task.output)
        except OSError as error:
            self.errors.append(
                f"{path} is not run: cannot write {task.output}: {cause_of(error)}"
            )
            return
        if notes:
            self.remarks.append(f"{path}: repaired: {'; '.join(notes)}")
        self._jobs.append(Job(path, notebook, options, task.output, limits))

    def run(
        self,
        listener: Listener,
        at_once: int = 1,
        run_jobs: RunAll | None = None,
        stop: Stop | None = None,
    ) -> None:
        """Run them, and write each notebook when it has ended."""
        stop = stop or Stop()
        if run_jobs is None:
            run_all(self._jobs, at_once, self._finish, listener, stop)
        else:
            run_jobs(self._jobs, self._finish, listener, stop)

    def _finish(self, job: Job, run: NotebookRun) -> None:
        output = job.output
        # Do not write a notebook without executed cells, except a complete one to OUT.
        is_new = run.state == "ok" and output != job.path
        if output is not None and (run.executed or is_new):
            run = self._write(job, dataclasses.replace(run, output=output))
        job.run = run

    def _write(self, job: Job, run: NotebookRun) -> NotebookRun:
        assert run.output is not None
        try:
            if self.with_metadata:
                metadata.apply(job.notebook, run)
            exports.write_notebook(run.output, job.notebook)
        except Exception as error:
            self.errors.append(_not_written(run.output, error))
            return dataclasses.replace(run, output=None)
        return run

    def compare(self) -> None:
        """Check the budgets, and compare with the earlier run."""
        for job in self._jobs:
            run = job.run
            if run is None:
                continue
            self.violations += budgets.check(run, job.budgets)
            before = baseline.find_earlier(run, self.earlier)
            if before is None and self.earlier:
                self.remarks.append(f"{run.notebook}: not in the baseline")
            elif before is not None and self.tolerance is not None:
                self.violations += baseline.compare(run, before, self.tolerance)

    def write(self, outputs: Outputs) -> None:
        """Write the files about all notebooks."""
        both = (self.runs, self.violations)
        writers: list[tuple[str | None, Callable[[str], None]]] = [
            (outputs.json, lambda path: exports.write_json(path, *both)),
            (outputs.csv, lambda path: exports.write_csv(path, self.runs)),
            (outputs.html, lambda path: page.write_page(path, *both)),
            (outputs.markdown, lambda path: summary.write_summary(path, *both)),
        ]
        for path, write in writers:
            if path is None:
                continue
            try:
                write(path)
            except Exception as error:  # continue with the others
                self.errors.append(_not_written(path, error))
            else:
                self.reports += [path] if path != "-" else []

    @property
    def exit_code(self) -> int:
        """The worst of: interrupted, died, invalid, raised, over budget."""
        codes = {run.exit_code for run in self.runs}
        if self.errors:
            codes.add(2)
        if self.violations:
            codes.add(3)
        return next((code for code in (130, 137, 2, 1, 3) if code in codes), 0)


def _not_written(path: str, error: Exception) -> str:
    cause = cause_of(error)
    if not isinstance(error, OSError):
        cause = " ".join(f"{type(error).__name__}: {cause}".split())
    return f"{path} is not written: {cause}"
