"""Comparisons: what is said of samples that are given, and of programs that run."""

import json
import os

import pytest

from memwatch.compare import output, statistics, trials, variants
from memwatch.compare.comparison import Comparison
from memwatch.compare.trials import Trial, TrialError
from memwatch.compare.variants import VariantError, code
from support import MIB


def python(*texts, **options):
    found = [code(text, label=chr(ord("A") + i)) for i, text in enumerate(texts)]
    return Comparison(variants=variants.with_interpreters(found, ()), **options)


def of_samples(*samples, **options):
    """A comparison with trials that kept so many MiB."""
    made = python(*["pass"] * len(samples), **options)
    made.trials = [
        [
            Trial(
                kept_bytes=round(mib * MIB),
                peak_bytes=round(mib * MIB),
                duration_ns=10**8,
                is_exact=True,
            )
            for mib in sample
        ]
        for sample in samples
    ]
    return made


# ---- sentences ----


@pytest.mark.parametrize(
    ("first", "second", "words"),
    [
        ([26.1] * 9, [14.7] * 9, "B keeps 44 % less than A (14.7 against 26.1 MiB;"),
        ([14.7] * 9, [26.1] * 9, "B keeps 78 % more than A (26.1 against 14.7 MiB;"),
        (
            [1.0] * 9,
            [4.0] * 9,
            "B keeps 4.0 times as much as A (4.00 against 1.00 MiB;",
        ),
        ([10.0] * 9, [10.05] * 9, "no difference can be shown between what B and A"),
        ([9.0, 10, 11, 12] * 3, [9.5, 10.5, 11] * 4, "no difference can be shown"),
        ([0.0] * 9, [5.0] * 9, "B keeps 5.0 MiB more than A (5.00 against 0.00 MiB;"),
        ([0.0] * 9, [0.1] * 9, "no difference can be shown"),
        ([-0.5, 0.5] * 5, [0.0] * 10, "no difference can be shown"),
    ],
)
def test_sentence(first, second, words):
    (sentence,) = of_samples(first, second).sentences()
    assert sentence.startswith(words)


def test_sentence_has_the_interval():
    (sentence,) = of_samples([26.1] * 9, [14.7] * 9).sentences()
    assert sentence.endswith("; 95 % interval of the ratio 0.56 to 0.56)")


def test_more_than_the_first():
    assert of_samples([10.0] * 9, [11.0] * 9).has_more(["memory"])
    assert not of_samples([11.0] * 9, [10.0] * 9).has_more(["memory", "peak"])
    wide = of_samples([10.0] * 9, [11.0] * 9, tolerances={"memory": 0.2, "peak": 0.2})
    assert not wide.has_more(["memory", "peak"])
    assert not of_samples([], []).has_more(["memory"])


def test_same_samples_are_not_different_100_times():
    """Noise of the same kind: at most 7 of 100 differ."""
    import random

    drawn = random.Random(1)
    different = 0
    for _ in range(100):
        samples = [[drawn.gauss(20, 0.8) for _ in range(10)] for _ in range(2)]
        found = of_samples(*samples).verdict(1, "memory")
        different += found.is_more or found.is_less
    assert different <= 7


def test_narrow_table():
    made = of_samples([10.0] * 9, [11.0] * 9)
    wide, narrow = output.table(made), output.table(made, 100)
    assert narrow == wide
    assert "range" in narrow.splitlines()[0]
    assert "range" not in output.table(made, 80)
    assert max(map(len, output.table(made, 80).splitlines())) <= 80


def test_warnings():
    far = of_samples([10.0, 10.1, 10.2, 10.1, 10.0, 90.0], [10.0] * 6)
    (warning, _) = far.warnings()
    assert warning.startswith("A: the memory of 1 of 6 runs is far from the others")
    (small,) = of_samples([0.1] * 6, [0.1] * 6).warnings()
    assert "repeat the work" in small


def test_outliers_of_equal_values():
    assert statistics.outliers([5.0, 5.0, 5.0, 9.0]) == []
    assert statistics.outliers([5.0, 5.1, 5.2, 5.1, 9.0]) == [4]


def test_ratio_without_a_positive_value():
    assert statistics.ratio([1.0, 2.0], [0.0, 1.0]) is None


# ---- runs ----


def test_variants_run_in_turn(monkeypatch):
    order = []

    def run(variant, **options):
        order.append(variant.label)
        return Trial(kept_bytes=1, peak_bytes=1, duration_ns=1, is_exact=True)

    monkeypatch.setattr(trials, "run", run)
    made = python("1", "2", "3")
    made.run(runs=2, warmup=1)
    assert "".join(order) == "ABCABCCBA"
    assert made.runs == 2


@pytest.mark.parametrize(("spread", "runs"), [(0, 10), (500, 30)])
def test_runs_until_it_is_certain(monkeypatch, spread, runs):
    number = iter(range(10**6))

    def run(variant, **options):
        kept = 1000 + spread * (next(number) % 7)
        return Trial(kept_bytes=kept, peak_bytes=kept, duration_ns=1, is_exact=True)

    monkeypatch.setattr(trials, "run", run)
    made = python("1", "2")
    made.run()
    assert made.runs == runs


def test_memory_of_code():
    """What the interpreter and the setup hold is not part of it."""
    made = python(
        "x = bytearray(32 << 20)", "x = bytearray(64 << 20); x = None",
        setup="held = bytearray(100 << 20)",
    )  # fmt: skip
    made.run(runs=3, warmup=0)
    assert made.failure is None
    for place, (kept, peak) in enumerate([(32, 32), (0, 64)]):
        for trial in made.trials[place]:
            assert abs(trial.kept_bytes - kept * MIB) < 0.5 * MIB
            assert abs(trial.peak_bytes - peak * MIB) < 1.5 * MIB
    assert made.verdict(1, "memory").is_less
    assert made.verdict(1, "peak").is_more


def test_gross():
    made = python("pass", gross=True)
    assert trials.run(made.variants[0], gross=True).kept_bytes > 4 * MIB


def test_failure_in_the_third_run_keeps_the_first_two(tmp_path):
    """With what the program said, and where in its code."""
    counter = tmp_path / "count"
    counter.touch()
    failing = (
        f"with open({str(counter)!r}, 'a+') as f: f.write('x')\n"
        f"import os\nif os.path.getsize({str(counter)!r}) == 3:\n    1 / 0"
    )
    made = python(failing, "x = bytearray(8 << 20)")
    made.run(runs=5, warmup=0)
    assert [len(each) for each in made.trials] == [2, 2]
    assert made.failure.startswith("A failed:\n")
    assert "ZeroDivisionError" in made.failure
    assert "driver.py" not in made.failure
    assert made.exit_code == 1
    assert made.to_dict()["complete"] is False
    assert output.partial(made) == "The figures are partial: of 2, 2 runs."
    assert "8.0" in output.table(made)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("import os; os.kill(os.getpid(), 9)", "A failed: signal 9"),
        ("import os; os._exit(0)", "A failed: exit code 0"),
        ("raise SystemExit('no data')", "A failed:\n    no data"),
    ],
)
def test_programs_that_end(text, words):
    made = python(text, "pass")
    made.run(runs=2)
    assert made.failure.startswith(words)


def test_exit_of_zero_is_a_success():
    made = python("x = bytearray(4 << 20)\nraise SystemExit", "pass")
    made.run(runs=2)
    assert made.failure is None


def test_ctrl_c(monkeypatch):
    def run(variant, **options):
        raise KeyboardInterrupt

    monkeypatch.setattr(trials, "run", run)
    made = python("1", "2")
    made.run()
    assert (made.failure, made.exit_code) == ("interrupted", 130)


def test_results_that_differ():
    made = python("x = 1\nx + 1", "2 * 1 + 1", same_result=True)
    made.run(runs=2)
    assert made.failure.endswith("\n    A: 2\n    B: 3")
    same = python("[1, 2]", "list((1, 2))", same_result=True)
    same.run(runs=2)
    assert same.failure is None


def test_kinds_of_variants(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "one.py").write_text(
        "import sys\nx = bytearray(int(sys.argv[1]) << 20)"
    )
    (tmp_path / "two.py").write_text(
        "from three import size\nif __name__ == '__main__':\n    x = bytearray(size)\n"
    )
    (tmp_path / "three.py").write_text("size = 8 << 20")
    cells = [
        {"cell_type": "markdown", "source": "no code"},
        {"cell_type": "code", "source": ["a = 8 << 20\n", "b = a"]},
        {"cell_type": "code", "source": "%time x = bytearray(b)"},
    ]
    (tmp_path / "four.ipynb").write_text(json.dumps({"cells": cells}))
    found = [
        variants.script_or_notebook("one.py 8"),
        variants.script_or_notebook("two.py"),
        variants.module("two"),
        variants.script_or_notebook("four.ipynb"),
    ]
    for each in variants.with_interpreters(found, ()):
        trial = trials.run(each)
        least = 0 if each.kind == "notebook" else 8 * MIB
        assert least <= trial.kept_bytes + 0.1 * MIB, each
        assert trial.peak_bytes > 7.9 * MIB, each


def test_command_is_measured_as_a_whole():
    trial = trials.run(variants.command("python3 -c 'x = bytearray(64 << 20)'"))
    assert trial.peak_bytes > 64 * MIB
    with pytest.raises(TrialError, match="failed: exit code 3"):
        trials.run(variants.command("sh -c 'exit 3'"))


@pytest.mark.parametrize(
    ("make", "given", "words"),
    [
        (variants.script_or_notebook, "nowhere.py", "cannot read 'nowhere.py'"),
        (variants.script_or_notebook, "ls -l", "for other programs: --cmd 'ls -l'"),
        (variants.script_or_notebook, "'", "no closing quotation"),
        (variants.code, "x =", "invalid Python code"),
        (variants.command, "nonesuch-command", "command not found"),
        (variants.command, "/etc/passwd", "permission denied"),
        (variants.command, " ", "a variant is empty"),
        (variants.sections, "x = 1", "belongs to no variant"),
        (variants.sections, "# %% a\n1", "at least two variants"),
        (variants.sections, "# %% a\n1\n# %% a\n2", "the same name"),
        (variants.sections, "# %%\n1\n# %% a\n2", "has no name"),
        (variants.sections, "# %% a\n(\n# %% b\n2", "a: invalid Python code"),
    ],
)
def test_bad_variants(make, given, words):
    with pytest.raises(VariantError, match=words):
        make(given)


def test_bad_notebooks(tmp_path):
    path = tmp_path / "a.ipynb"
    for content in ["{", "[]", '{"cells": 5}', '{"cells": [{}]}']:
        path.write_text(content)
        with pytest.raises(VariantError, match="not a notebook"):
            variants.script_or_notebook(str(path))


def test_interpreters():
    made = variants.with_interpreters([code("1", label="a")], ["python3"])
    assert [each.label for each in made] == ["a (python3)"]
    with pytest.raises(VariantError, match="--interpreter: cannot execute"):
        variants.with_interpreters([], ["nonesuch-python"])


def test_nothing_is_left():
    trials.run(python("pass").variants[0])  # opens what the sampler keeps open
    before = len(os.listdir("/proc/self/fd"))
    made = python("pass", "1 / 0")
    made.run(runs=2)
    assert len(os.listdir("/proc/self/fd")) == before
