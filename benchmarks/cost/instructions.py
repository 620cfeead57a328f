"""The hot path in instructions, counted by valgrind's callgrind.

The same on a busy machine as on an idle one, so that a change can be judged by it; the
kernel's part is not in it. Two counts: a window opened and closed, in C, and the pair
of hooks as IPython calls it.
"""

from __future__ import annotations

import argparse
import os
import re
import subprocess
import sys
import tempfile


def count(*command: str, only: str | None = None) -> int:
    """Instructions of `command`; of what it does in the C function `only`."""
    with tempfile.TemporaryDirectory() as folder:
        options = [f"--callgrind-out-file={folder}/callgrind.out"]
        if only:
            options += ["--collect-atstart=no", f"--toggle-collect={only}"]
        done = subprocess.run(
            ["valgrind", "--tool=callgrind", *options, *command],
            # Else dictionaries differ from run to run.
            env=os.environ | {"PYTHONHASHSEED": "0"},
            capture_output=True,
            text=True,
            check=False,
        )
    found = re.search(r"Collected : (\d+)", done.stderr)
    if done.returncode or not found:
        raise SystemExit(f"valgrind {' '.join(command)} failed:\n{done.stderr}")
    return int(found[1])


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("hot_path", help="the program built from hot_path.c")
    hot_path = parser.parse_args().hot_path
    pairs = 1000
    window = count(hot_path, str(pairs), only="window_pair") / pairs
    print(f"window opened and closed, C: {window:.0f} instructions", flush=True)
    # What comes before and after the hooks is in both, and falls out.
    hooks = [sys.executable, "-m", "benchmarks.cost.hooks"]
    few, many = (count(*hooks, times) for times in ("1000", "4000"))
    print(f"pair of hooks, Python and C: {(many - few) / 3000:.0f} instructions")
    return 0


if __name__ == "__main__":
    sys.exit(main())
