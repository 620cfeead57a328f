"""`memwatch run` beside `jupyter execute`, on notebooks that others wrote.

The notebooks come from the source distributions of packages, by pip, into
build/third-party. Only those count that `jupyter execute` runs twice to the same
outputs. Then both commands run each notebook in turn: the outputs must be the same, and
the wall time at most 2 % longer.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import tarfile
import time
from pathlib import Path

from benchmarks.helpers.bootstrap import median

FOLDER = Path(__file__).parents[2] / "build/third-party"
PACKAGES = [
    "nbclient", "nbconvert", "papermill", "nbsphinx", "nbval", "nbmake", "seaborn",
]  # fmt: skip
# What the notebooks import.
NEEDED = ["matplotlib", "numpy", "pandas", "scipy", "seaborn", "ipywidgets"]
# They wait for what only their package's own tests do.
LEFT_OUT = {"Interrupt.ipynb", "Autokill.ipynb", "keyboard_interrupt.ipynb"}
LONGEST_S = 60
LEAST = 10
LIMIT = 1.02


def fetch() -> list[Path]:
    """The notebooks of all packages, each in a folder of its package's."""
    archives = FOLDER / "archives"
    archives.mkdir(parents=True, exist_ok=True)
    pip = [sys.executable, "-m", "pip", "--quiet", "--disable-pip-version-check"]
    subprocess.run([*pip, "install", *NEEDED], check=True)
    for package in PACKAGES:
        if not list(archives.glob(f"{package}-*.tar.gz")):
            subprocess.run(
                [*pip, "download", "--no-deps", "--no-binary", ":all:", package],
                cwd=archives, check=True,
            )  # fmt: skip
    unpacked = FOLDER / "unpacked"
    for archive in sorted(archives.glob("*.tar.gz")):
        if not (unpacked / archive.name.removesuffix(".tar.gz")).exists():
            with tarfile.open(archive) as file:
                file.extractall(unpacked, filter="data")
    return sorted(
        path for path in unpacked.rglob("*.ipynb") if path.name not in LEFT_OUT
    )


def execute(command: list[str]) -> float | None:
    """Seconds; None where it fails or takes too long."""
    begun = time.perf_counter()
    try:
        done = subprocess.run(
            [str(Path(sys.executable).parent / command[0]), *command[1:]],
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
            timeout=LONGEST_S, check=False,
        )  # fmt: skip
    except subprocess.TimeoutExpired:
        return None
    return time.perf_counter() - begun if done.returncode == 0 else None


def by_jupyter(path: Path, output: Path) -> float | None:
    # The command without the dispatcher before it: the smaller of its two costs.
    return execute(["jupyter-execute", str(path), f"--output={output}"])


def by_memwatch(path: Path, output: Path) -> float | None:
    return execute(["memwatch", "run", str(path), "-o", str(output)])


def outputs(path: Path) -> list[object]:
    """What the cells show, and their numbers."""
    notebook = json.loads(path.read_text())
    return [
        (cell["outputs"], cell["execution_count"])
        for cell in notebook["cells"]
        if cell["cell_type"] == "code"
    ]


def choose(paths: list[Path], most: int) -> list[Path]:
    """Those that run, and show the same twice; as many of each package as there is room
    for.
    """
    chosen: list[Path] = []
    scratch = [FOLDER / "first.ipynb", FOLDER / "second.ipynb"]
    by_package: dict[str, list[Path]] = {}
    for path in paths:
        package = path.relative_to(FOLDER / "unpacked").parts[0]
        by_package.setdefault(package, []).append(path)
    for own in by_package.values():
        taken = 0
        for path in own:
            if taken == most // len(by_package) + 1 or len(chosen) == most:
                break
            if not any(outputs_or_none(path)):
                continue  # nothing in it shows anything
            if any(by_jupyter(path, output) is None for output in scratch):
                continue
            if outputs(scratch[0]) == outputs(scratch[1]):
                chosen.append(path)
                taken += 1
                print(f"  {path.relative_to(FOLDER / 'unpacked')}", flush=True)
    return chosen


def outputs_or_none(path: Path) -> list[object]:
    try:
        notebook = json.loads(path.read_text())
        return [cell for cell in notebook["cells"] if cell["cell_type"] == "code"]
    except (ValueError, KeyError, UnicodeDecodeError):
        return []


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--most", type=int, default=21, help="notebooks; 21")
    parser.add_argument("--rounds", type=int, default=7, help="of each; 7")
    given = parser.parse_args()
    os.environ["MPLBACKEND"] = "agg"
    shutil.rmtree(FOLDER / "out", ignore_errors=True)
    (FOLDER / "out").mkdir(parents=True)
    print("notebooks that run, and show the same twice:", flush=True)
    chosen = choose(fetch(), given.most)
    ratios, wrong = [], []
    ours, theirs = FOLDER / "out/memwatch.ipynb", FOLDER / "out/jupyter.ipynb"
    for number in range(given.rounds):
        for path in chosen:
            pair = [(by_jupyter, theirs), (by_memwatch, ours)]
            # Neither is always the first.
            order = pair[::-1] if number % 2 else pair
            took = {run: run(path, output) for run, output in order}
            before, after = took[by_jupyter], took[by_memwatch]
            if before is None or after is None or outputs(ours) != outputs(theirs):
                wrong.append(path.name)
            else:
                ratios.append(after / before)
    ratio = median(ratios)
    print(
        f"{len(chosen)} notebooks, {given.rounds} rounds in turn: outputs differ in"
        f" {len(set(wrong))} ({', '.join(sorted(set(wrong))) or 'none'}); wall time"
        f" {ratio:.3f} of jupyter execute's (95 % interval of the median);"
        f" limits: {LEAST} notebooks, none different, {LIMIT}"
    )
    return int(len(chosen) < LEAST or bool(wrong) or ratio.value > LIMIT)


if __name__ == "__main__":
    sys.exit(main())
