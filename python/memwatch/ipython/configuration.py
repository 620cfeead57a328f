"""The traits of ``c.MemWatch``: names, defaults, help, and the checks of their values.

What a change of a trait does is in magics.py.
"""

from __future__ import annotations

import math
import re
from typing import Any

from traitlets import (
    Bool,
    Enum,
    Float,
    HasTraits,
    Integer,
    TraitError,
    Unicode,
    validate,
)

from .. import _core
from ..display import lines
from ..measure.children import watch_children
from ..warn import cause_of

_SHARE = r"(\d+(?:\.\d+)?) ?%"


class Configuration(HasTraits):
    """The configuration of one shell; MemWatch inherits it.

    In ipython_config.py:

        c.MemWatch.min_used_mib = 1
    """

    style = Enum(
        sorted(lines.STYLES),
        "classic",
        help="Style of the line: 'classic' (default) is the line of"
        " ipython_memory_usage; 'cpu' is that of its version 1.8, with CPU usage;"
        " 'short' is '[3] +14.3 MiB, peak +0.0, 0.10 s, total 66.2 MiB', coloured in a"
        " terminal.",
    ).tag(config=True)

    display = Enum(
        ["auto", "line", "sparkline"],
        "auto",
        help="What to show after a cell. 'line': the line only. 'sparkline': the line"
        " and a chart of the cell's memory over time, in a terminal made of block"
        " characters. 'auto' (default): the chart only in front ends that send a cell"
        " id (JupyterLab, Notebook 7, VS Code), for cells that took at least 0.1 s and"
        " whose memory changed by at least 1 MiB; consoles and nbconvert get none.",
    ).tag(config=True)

    children = Bool(
        False,
        help="Measure child processes too (default: False). The most that they held"
        " during a cell then follows its line, as PSS, which counts shared pages once.",
    ).tag(config=True)

    record = Bool(
        True,
        help="Keep a black box (default: True): a file of 64 KiB in Jupyter's runtime"
        " folder. If the kernel is killed, it shows which cell was running and how much"
        " memory it had reached. A clean exit removes it.",
    ).tag(config=True)

    record_dir = Unicode(
        "",
        help="Folder for the black box, for example on a volume that outlives a pod;"
        " the file is written to its subfolder 'memwatch-UID'. On network, FUSE and"
        " copy-on-write file systems a background thread writes a copy up to 10 times"
        " per second and never delays a cell. Default '': Jupyter's runtime folder, or"
        " $XDG_RUNTIME_DIR or /dev/shm if that is on such a file system.",
    ).tag(config=True)

    publish = Unicode(
        "",
        help="ZeroMQ endpoint to publish samples and reports to: '@ENDPOINT' binds,"
        " '>ENDPOINT' connects, 'on' is an ipc socket in Jupyter's runtime folder."
        " Default '': publish nothing. Endpoints that other machines can reach need"
        " CURVE keys; create a pair with `memwatch keygen`.",
    ).tag(config=True)

    publish_hz = Float(
        10.0,
        min=0.01,
        max=1000.0,
        help="Maximum number of samples to publish per second (default: 10).",
    ).tag(config=True)

    publish_server_key = Unicode(
        "",
        help="Public key of the collector that `publish` connects to: 40 characters,"
        " or the path of its key file. Default '': none.",
    ).tag(config=True)

    warn = Unicode(
        "80%",
        help="Share of the memory limit from which a line below a cell's line says how"
        " much of it is in use, for example 'memwatch: 83 % of the 4.00 GiB limit'"
        " (default: '80%'). '': never.",
    ).tag(config=True)

    statements = Bool(
        False,
        help="Show a table below each cell of what each of its statements cost, and"
        " each line of its loops (default: False). Adds about 10 us to each. For one"
        " cell: %%memwatch lines.",
    ).tag(config=True)

    hints = Bool(
        True,
        help="Print a line below a cell's line when a cell has run again and Out still"
        " holds at least 16 MiB of its earlier results (default: True). Once for each"
        " cell.",
    ).tag(config=True)

    max_history_reports = Integer(
        10_000,
        min=1,
        help="Maximum number of reports in memwatch.history (default: 10000). The"
        " oldest are dropped first.",
    ).tag(config=True)

    max_timelines_mib = Float(
        40.0,
        help="Maximum size of all timelines in memwatch.history, in MiB (default: 40)."
        " The oldest are dropped first; their reports stay. 0: keep no timelines.",
    ).tag(config=True)

    min_used_mib = Float(
        None,
        allow_none=True,
        help="Hide the line for cells that kept less than this many MiB. If several"
        " min_* limits are set, a cell is hidden only when it is below all of them."
        " Default None: no limit.",
    ).tag(config=True)

    min_peak_mib = Float(
        None,
        allow_none=True,
        help="Hide the line for cells that peaked less than this many MiB above what"
        " they kept. See min_used_mib. Default None: no limit.",
    ).tag(config=True)

    min_seconds = Float(
        None,
        allow_none=True,
        help="Hide the line for cells that took fewer seconds than this. See"
        " min_used_mib. Default None: no limit.",
    ).tag(config=True)

    @validate("min_used_mib", "min_peak_mib", "min_seconds", "max_timelines_mib")
    def _check_size(self, proposal: Any) -> float | None:
        value: float | None = proposal["value"]
        if value is not None and not (math.isfinite(value) and value >= 0):
            name = proposal["trait"].name
            raise TraitError(f"MemWatch.{name}: expected 0 or more, got {value}")
        return value

    @validate("warn")
    def _check_share(self, proposal: Any) -> str:
        value: str = proposal["value"]
        share = re.fullmatch(_SHARE, value)
        if value and (share is None or not 0 < float(share[1]) <= 100):
            raise TraitError(
                f"MemWatch.warn: expected for example '80%', or '', got '{value}'"
            )
        return value

    @validate("publish_hz")
    def _check_rate(self, proposal: Any) -> float:
        value: float = proposal["value"]
        if not math.isfinite(value):
            raise TraitError(f"MemWatch.publish_hz: expected a number, got {value}")
        return value

    @validate("style")
    def _prepare_style(self, proposal: Any) -> str:
        # libproc2 and its libraries are larger than memwatch: loaded on demand only.
        if proposal["value"] == "cpu":
            _core.set_cpu_reader(_cpu_reader())
        return str(proposal["value"])

    @validate("children")
    def _prepare_children(self, proposal: Any) -> bool:
        try:
            if proposal["value"]:
                watch_children(True)
        except ImportError:
            raise _without_libproc2("children") from None
        except OSError as error:
            raise TraitError(f"cannot read children: {cause_of(error)}") from None
        return bool(proposal["value"])


def _cpu_reader() -> object:
    try:
        from .. import _procps
    except ImportError:
        raise _without_libproc2("cpu style") from None
    try:
        return _procps.cpu_reader()
    except OSError as error:
        raise TraitError(f"cpu style: {cause_of(error)}") from None


def _without_libproc2(part: str) -> TraitError:
    from ..optional import describe_missing

    return TraitError(f"{part}: {describe_missing(part)}")
