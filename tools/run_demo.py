"""Execute notebooks in a real Jupyter kernel, with no screen, and show what they say.

For each cell its memwatch line is printed, and at the end the tables. The notebook's
file stays as it is unless --in-place is given.
"""

from __future__ import annotations

import argparse
import re
import sys
from pathlib import Path

import nbformat
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError

LINE = re.compile(r"^In \[\d+\] used .*$", re.MULTILINE)


def printed(output: nbformat.NotebookNode) -> str:
    is_stdout = output.output_type == "stream" and output.name == "stdout"
    return str(output.text) if is_stdout else ""


def show(notebook: nbformat.NotebookNode) -> None:
    """Each cell's line, then the tables (what else was printed with a rule in it)."""
    tables = []
    for cell in notebook.cells:
        if cell.cell_type != "code":
            continue
        text = "".join(printed(output) for output in cell.outputs)
        for line in LINE.findall(text):
            print(line)
        rest = LINE.sub("", text).strip("\n")
        if "----" in rest:
            tables.append(rest)
    for table in tables:
        print(f"\n{table}")


def forget_times(notebook: nbformat.NotebookNode) -> None:
    """Leave out what differs from run to run and tells nothing."""
    for cell in notebook.cells:
        cell.metadata.pop("execution", None)
    notebook.metadata.get("language_info", {}).pop("version", None)


def execute(path: Path, *, in_place: bool) -> None:
    notebook = nbformat.read(path, as_version=4)
    client = NotebookClient(
        notebook,
        kernel_name="python3",
        timeout=600,
        resources={"metadata": {"path": str(path.parent)}},
        # Over TCP the kernel warns that its messages, on loopback here, can be read.
        extra_arguments=["--log-level=ERROR"],
    )

    def name_cell(cell: nbformat.NotebookNode, cell_index: int) -> None:
        # As JupyterLab does: memwatch then adds its charts.
        client.kc.session.metadata["cellId"] = cell["id"]

    client.on_cell_execute = name_cell
    client.execute()
    if in_place:
        forget_times(notebook)
        whole = path.with_suffix(".ipynb.new")
        nbformat.write(notebook, whole)
        whole.replace(path)
    show(notebook)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("notebooks", nargs="+", type=Path, metavar="NOTEBOOK")
    parser.add_argument("--in-place", action="store_true", help="keep the outputs")
    arguments = parser.parse_args()
    for path in arguments.notebooks:
        print(f"{path}:")
        try:
            execute(path, in_place=arguments.in_place)
        except CellExecutionError as error:
            print(error, file=sys.stderr)
            return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
