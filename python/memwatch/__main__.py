"""``python -m memwatch`` is ``memwatch``; with a script it runs and measures it."""

from __future__ import annotations

import sys


def _main() -> None:
    if len(sys.argv) > 1 and sys.argv[1].endswith(".py"):
        # Without the command line's libraries, which would be in the figures.
        from .measure.script import run_script

        sys.exit(run_script(sys.argv[1], sys.argv[2:]))
    from .cli import main

    main()


if __name__ == "__main__":
    _main()
