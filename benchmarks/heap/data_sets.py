"""memwatch.variables() beside RSS, for data sets of real libraries.

Each is built in a process of its own. The sum of `alone` over its variables is compared
with what they give back when they are deleted and gc.collect() and malloc_trim() have
run: what RSS falls by, and the free memory that Python's allocator keeps in arenas that
are still in use, by its own statistics (sys._debugmallocstats). At least 20 must be
within 3 %.

    python -m benchmarks.heap.data_sets [NAME ...]
"""

from __future__ import annotations

import json
import subprocess
import sys
from typing import NamedTuple

from benchmarks.helpers.peers import ROOT, Environment, wheel

WITHIN = 0.03
LEAST = 20
"""Data sets that must be within it."""
LIBRARIES = Environment(
    "data-sets",
    ("networkx>=3.1", "pillow>=10", "polars>=1.0", "pyarrow>=14", "scikit-learn>=1.3"),
)


class DataSet(NamedTuple):
    """Code that builds the variables, and what it imports, which is run before."""

    imports: str
    code: str


_SOURCES = (
    "import glob, os, sysconfig\n"
    "folder = sysconfig.get_path('stdlib')\n"
    "files = sorted(glob.glob(os.path.join(folder, '*.py')))\n"
)
_DIGITS = "from sklearn.datasets import load_digits\nimport numpy as np\n"

DATA_SETS = {
    "digits, tiled": DataSet(_DIGITS, "x = np.tile(load_digits().data, (80, 1))"),
    "photographs": DataSet(
        "from sklearn.datasets import load_sample_images\nimport numpy as np",
        "x = [np.array(i) for _ in range(50) for i in load_sample_images().images]",
    ),
    "matrices, Fortran order": DataSet(
        _DIGITS,
        "d = load_digits().data\n"
        "x = {k: np.asfortranarray(np.tile(d, (9, 1)) * k) for k in range(10)}",
    ),
    "many small arrays": DataSet(
        _DIGITS,
        "d = load_digits().images\nx = [row.copy() for _ in range(60) for row in d]",
    ),
    "strings in an object array": DataSet(
        "import numpy as np",
        "x = np.array([f'name {i}' for i in range(700_000)], dtype=object)",
    ),
    "breast cancer, DataFrame": DataSet(
        "import pandas as pd\nfrom sklearn.datasets import load_breast_cancer",
        "f = load_breast_cancer(as_frame=True).frame\n"
        "x = pd.concat([f] * 400, ignore_index=True)",
    ),
    "DataFrame with text": DataSet(
        "import pandas as pd, numpy as np",
        "x = pd.DataFrame({'id': np.arange(600_000),"
        " 'name': pd.Series([f'customer {i}' for i in range(600_000)], dtype=object)})",
    ),
    "time series": DataSet(
        "import pandas as pd, numpy as np",
        "i = pd.date_range('2020', periods=2_000_000, freq='s')\n"
        "x = pd.DataFrame({'a': np.arange(2e6), 'b': np.arange(2e6)}, index=i)",
    ),
    "group-by": DataSet(
        "import pandas as pd, numpy as np",
        "f = pd.DataFrame({'k': np.arange(3_000_000) % 1_000_000,"
        " 'v': np.arange(3e6)})\nx = f.groupby('k').agg(['sum', 'mean', 'max'])",
    ),
    "Arrow columns": DataSet(
        "import pandas as pd, numpy as np, pyarrow as pa",
        "x = pd.DataFrame({'a': np.arange(4e6), 'b': np.arange(4_000_000)})"
        ".convert_dtypes(dtype_backend='pyarrow')",
    ),
    "Arrow table with text": DataSet(
        "import pyarrow as pa",
        "x = pa.table({'a': list(range(1_000_000)),"
        " 't': [f'text of row {i}' for i in range(1_000_000)]})",
    ),
    "polars": DataSet(
        _DIGITS + "import polars as pl",
        "x = pl.DataFrame(np.tile(load_digits().data, (60, 1)))",
    ),
    "random forest": DataSet(
        _DIGITS + "from sklearn.ensemble import RandomForestClassifier",
        "d = load_digits()\n"
        "x = RandomForestClassifier(900, random_state=0).fit(d.data, d.target)",
    ),
    "nearest neighbours": DataSet(
        _DIGITS + "from sklearn.neighbors import NearestNeighbors",
        "x = NearestNeighbors().fit(np.tile(load_digits().data, (60, 1)))",
    ),
    "tf-idf": DataSet(
        _SOURCES + "from sklearn.feature_extraction.text import TfidfVectorizer",
        "v = TfidfVectorizer(ngram_range=(1, 2))\n"
        "x = v.fit_transform([open(f, errors='replace').read() for f in files])",
    ),
    "networkx, random graph": DataSet(
        "import networkx as nx", "x = nx.barabasi_albert_graph(60_000, 3, seed=1)"
    ),
    "networkx, attributes": DataSet(
        "import networkx as nx",
        "x = nx.DiGraph()\n"
        "x.add_weighted_edges_from((i, i * 7 % 100_000, i / 3) for i in range(150_000))"
        "\nfor n in x: x.nodes[n]['name'] = f'node {n}'",
    ),
    "nested JSON": DataSet(
        "import json\n"
        "one = json.dumps({'id': 1, 'tags': ['a', 'b'], 'at': {'x': 1.5, 'y': 2.5},"
        " 'text': 'some text'})\n"
        "text = '[' + ','.join([one] * 100_000) + ']'",
        "x = json.loads(text)",
    ),
    "syntax trees": DataSet(
        _SOURCES + "import ast",
        "x = [ast.parse(open(f, errors='replace').read()) for f in files[:120]]",
    ),
    "inverted index": DataSet(
        _SOURCES + "import re",
        "x = {}\n"
        "for n, f in enumerate(files):\n"
        "    for i, word in enumerate(re.findall(r'\\w+', open(f,"
        " errors='replace').read())):\n"
        "        x.setdefault(word, set()).add((n, i))\n"
        "del n, f, i, word",
    ),
    "log records": DataSet(
        "import logging",
        "x = [logging.LogRecord('app', 20, 'f.py', i, 'row %d took %s',"
        " (i, i / 7), None) for i in range(70_000)]",
    ),
    "dates and decimals": DataSet(
        "import datetime, decimal",
        "d = datetime.datetime(2026, 1, 1)\n"
        "x = {i: (d + datetime.timedelta(seconds=i), decimal.Decimal(i) / 7)"
        " for i in range(200_000)}",
    ),
    "records": DataSet(
        "import csv, io\n"
        "text = 'id,name,price\\n' + ''.join(\n"
        "    f'{i},product {i},{i / 7}\\n' for i in range(200_000))",
        "x = list(csv.DictReader(io.StringIO(text)))",
    ),
}


_PROGRAM = """
import gc, json, os, re, sys, tempfile
import memwatch
from memwatch import _core

{imports}

def free_in_arenas():
    with tempfile.TemporaryFile() as file:
        stderr = os.dup(2)
        os.dup2(file.fileno(), 2)
        sys._debugmallocstats()
        os.dup2(stderr, 2)
        os.close(stderr)
        file.seek(0)
        text = file.read().decode()
    blocks = re.search(r"# bytes in available blocks *= *([0-9,]+)", text)[1]
    pools = re.search(r"unused pools .*= *([0-9,]+)", text)[1]
    return sum(int(each.replace(",", "")) for each in (blocks, pools))

def settle():
    gc.collect()
    if "pyarrow" in sys.modules:
        sys.modules["pyarrow"].default_memory_pool().release_unused()
    _core.malloc_trim()
    return _core.memory()["rss_bytes"], free_in_arenas()

before = set(globals()) | {{"before"}}
namespace = dict(globals())
exec({code!r}, namespace)
mine = {{name: namespace[name] for name in namespace if name not in before}}
mine.pop("__builtins__", None), mine.pop("namespace", None)
namespace = None
settle()
found = memwatch.variables(mine, seconds=60)
start = settle()
mine.clear()
end = settle()
alone = sum(each.alone_bytes for each in found)
shared = max((each.with_others_bytes for each in found), default=0)
print(json.dumps([alone, shared, start[0] - end[0], end[1] - start[1], found.partial]))
"""


def main(arguments: list[str]) -> int:
    """See the module."""
    LIBRARIES.make()
    error = LIBRARIES.install("--force-reinstall", "--no-deps", wheel())
    if error:
        raise SystemExit(error)
    tried = within = 0
    for name, data in DATA_SETS.items():
        if arguments and name not in arguments:
            continue
        tried += 1
        program = _PROGRAM.format(imports=data.imports, code=data.code)
        done = subprocess.run(
            [LIBRARIES.python, "-c", program],
            capture_output=True, text=True, timeout=300, check=False,
            cwd=ROOT / "build",
        )  # fmt: skip
        if done.returncode != 0:
            raise SystemExit(f"{name}: {done.stderr}")
        alone, shared, fall, kept, partial = json.loads(done.stdout.splitlines()[-1])
        print(
            f"{name:<28} alone {alone / 2**20:7.2f} MiB, shared {shared / 2**20:6.2f};"
            f" RSS fell by {fall / 2**20:7.2f}, kept in arenas {kept / 2**20:6.2f}"
            + (f" ({partial})" if partial else "")
        )
        off = abs((alone + shared) / (fall + kept) - 1)
        within += off <= WITHIN
        print(
            f"  off by {100 * off:.2f} %{'' if off <= WITHIN else '  <- more than 3'}"
        )
    print(f"{within} of {tried} are within 3 %")
    return 1 if within < min(LEAST, tried) else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
