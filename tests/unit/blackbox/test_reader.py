"""Reading a black box from where the last reading ended."""

from support import run_python


def test_only_new_samples_and_the_current_cell():
    """As `memwatch top` reads: the newest open cell, or if none is open the newest."""
    shown = run_python(
        """
import memwatch
from memwatch.blackbox import reader, recording

recording.start()
path = recording.box_path()

def read(next_sample):
    box = reader.read_box(path, next_sample, current_only=True)
    (cell,) = box["cells"]
    count = len(box["timeline"]["rss_bytes"])
    assert count == box["samples"] - next_sample, (count, box["samples"], next_sample)
    print(cell.report.label, cell.status)
    return box["samples"]

with memwatch.watch("outer"):
    with memwatch.watch("inner"):
        pass
    seen = read(0)
    assert seen > 0
seen = read(seen)
assert reader.read_box(path, seen)["timeline"]["rss_bytes"].tolist() == []
assert len(reader.read_box(path)["cells"]) == 2
"""
    )
    assert shown == "outer running\ninner ok\n"
