"""Notebook files, valid and not."""

import nbformat

from memwatch.run import inputs

V4 = nbformat.v4


KERNEL = {"kernelspec": {"name": "python3", "display_name": "Python 3"}}


def write(path, *sources, **metadata):
    path.parent.mkdir(parents=True, exist_ok=True)
    cells = [V4.new_code_cell(source) for source in sources or ("x = 1",)]
    nbformat.write(V4.new_notebook(cells=cells, metadata={**KERNEL, **metadata}), path)
    return path


def names(*given):
    found, errors = inputs.expand(given)
    return [(each.path, each.name) for each in found], [str(each) for each in errors]
