"""Check that file names answer the questions in ARCHITECTURE.md.

A reader who knows only the README follows its link to ARCHITECTURE.md and asks "where
is ...?". For each question of its table this script ranks all source files by the words
that the question and the path have in common. It opens no source file. The answer in
the table must be the only best one.

    python tools/find_files.py
"""

from __future__ import annotations

import re
import sys
from pathlib import Path

ROOT = Path(__file__).parent.parent
ROW = re.compile(r"\| (?P<question>Where [^|]*\?) \| `(?P<answer>[^`|]+)` \|")


def words_of(text: str) -> set[str]:
    """The words of a text or a path, in lower case, without the plural s."""
    return {
        word[:-1] if len(word) > 3 and word.endswith("s") else word
        for word in re.findall(r"[a-z]+", text.lower())
    }


def files() -> dict[str, set[str]]:
    """Each source file, a header and its .c file as one, and the words of its path."""
    found = {}
    for top in ("csrc", "python/memwatch"):
        for path in sorted((ROOT / top).rglob("*")):
            if path.suffix in {".c", ".h", ".py"} and path.stem != "__init__":
                name = path.relative_to(ROOT).with_suffix("").as_posix()
                found[name] = words_of(name.removeprefix(top))
    return found


def find(question: str, paths: dict[str, set[str]]) -> list[str]:
    """The files that fit the question best.

    First counts how much of the file's own name the question uses, then how many words
    of its path.
    """
    asked = words_of(question)

    def score(name: str) -> tuple[float, int]:
        own = words_of(name.rpartition("/")[2])
        return len(asked & own) / len(own), len(asked & paths[name])

    best = max(score(name) for name in paths)
    return [name for name in paths if score(name) == best]


def main() -> int:
    if "(ARCHITECTURE.md)" not in (ROOT / "README.md").read_text():
        print("README.md does not link to ARCHITECTURE.md")
        return 1
    rows = list(ROW.finditer((ROOT / "ARCHITECTURE.md").read_text()))
    paths = files()
    wrong = 0
    for row in rows:
        found = find(row["question"], paths)
        answer = str(Path(row["answer"]).with_suffix(""))
        right = found == [answer] and (ROOT / row["answer"]).is_file()
        wrong += not right
        print(f"{'found' if right else 'NOT FOUND'}: {row['question']} {row['answer']}")
        if not right:
            print(f"    by name: {', '.join(found)}")
    print(f"{len(rows) - wrong} of {len(rows)} found by name")
    return 0 if rows and not wrong else 1


if __name__ == "__main__":
    sys.exit(main())
