"""IPython's shell of this process, without importing IPython."""

from __future__ import annotations

import sys
from typing import Any


def running_shell() -> Any:
    """IPython's shell; None: no IPython is running.

    >>> running_shell() is None
    True
    """
    # A shell cannot run if nothing has imported IPython.
    if "IPython" not in sys.modules:
        return None
    from IPython import get_ipython

    return get_ipython()
