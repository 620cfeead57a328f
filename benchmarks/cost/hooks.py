"""Runs the pair of hooks NUMBER times, for valgrind: see instructions.py."""

from __future__ import annotations

import sys

import memwatch
from benchmarks.cost.self_cost import quiet_shell

with quiet_shell() as shell:
    memwatch.load_ipython_extension(shell)
    watcher = shell.magics_manager.registry["MemWatch"].watcher
    watcher._on_report = lambda number, report: None  # printing apart
    result = shell.run_cell("x = 1", store_history=True)
    for _ in range(int(sys.argv[1])):
        watcher._pre_run_cell(result.info)
        watcher._post_run_cell(result)
    memwatch.unload_ipython_extension(shell)
