"""memwatch doctor, run as a person does, against what the kernel says."""

import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

import memwatch
from command import doctor
from memwatch import _core
from memwatch.measure import capabilities
from support import BECOME_NOBODY, MIB, readable_copy, run_python

SECTIONS = {
    "software", "processors", "rss", "peak", "limit", "cgroup", "jupyterhub", "memory",
    "children",
}  # fmt: skip


OPTIONAL = [
    "children", "cpu style", "publishing", "top", "run", "plot", "papermill", "dask",
    "data frames",
]  # fmt: skip


WORDS = [
    "memwatch", "system", "RSS", "peak", "limit", "cgroup", "JupyterHub", "memory",
    "child", "ptrace", *OPTIONAL,
]  # fmt: skip


def facts(**options):
    return json.loads(doctor("--json", **options))


def environment(**more):
    return {**{k: v for k, v in os.environ.items() if k != "MEM_LIMIT"}, **more}


def rows(text):
    """The lines by their first words."""
    found = dict(
        re.fullmatch(r"(.{11}) (.+)", line).groups() for line in text.split("\n")[:-1]
    )
    return {subject.strip(): told for subject, told in found.items()}


def is_consistent(found):
    """What is unknown or cannot be done has a reason, and nothing else has one."""
    may_be_absent = {
        "software.ipython", "software.ipykernel", "cgroup.limit_bytes", "cgroup.group",
        "jupyterhub.limit_bytes", "children.yama_ptrace_scope", "rss.exact",
        "rss.bound_bytes", "limit.set_by",
    }  # fmt: skip
    assert set(found) == SECTIONS | {"schema", "optional", "why"}
    assert list(found["optional"]) == OPTIONAL
    for part in found["optional"].values():
        assert part["available"] == (part["why"] is None)
    assert found["schema"] == 2
    for section in SECTIONS:
        for field, value in found[section].items():
            name = f"{section}.{field}"
            if value is None or value is False:
                assert name in found["why"] or name in may_be_absent, name
    for name in found["why"]:
        section, field = name.split(".")
        assert not found[section][field], name
    return True


def test_figures_are_the_kernels():
    found = facts(env=environment())
    assert is_consistent(found)
    uname = os.uname()
    assert found["software"]["memwatch"] == memwatch.__version__
    assert found["software"]["python"].split()[1] == sys.version.split()[0]
    assert found["software"]["linux"] == uname.release
    assert found["software"]["architecture"] == uname.machine
    import IPython

    assert found["software"]["ipython"] == IPython.__version__
    assert found["processors"] == {
        "allowed": len(os.sched_getaffinity(0)),
        "online": os.sysconf("SC_NPROCESSORS_ONLN"),
    }
    here = _core.accuracy()
    assert found["rss"]["exact"] == here["exact"]
    assert found["peak"]["method"] == ("kernel" if here["hwm_resets"] else "sampled")
    group = _core.cgroup()
    assert found["cgroup"]["limit_bytes"] == group["limit_bytes"]
    assert found["jupyterhub"]["limit_bytes"] is None
    assert found["children"]["rss"] is True


def test_memory_is_the_machines():
    pytest.importorskip("memwatch._procps", reason="built without libproc2")
    found = facts(env=environment())
    (total,) = re.findall(r"MemTotal: +(\d+) kB", Path("/proc/meminfo").read_text())
    assert found["memory"]["total_bytes"] == int(total) * 1024
    assert 0 < found["memory"]["available_bytes"] <= int(total) * 1024
    limits = [found["memory"]["total_bytes"], found["cgroup"]["limit_bytes"]]
    least = min(each for each in limits if each is not None)
    assert found["limit"]["limit_bytes"] == least


def test_text_for_a_person():
    told = rows(doctor(env=environment()))
    assert list(told) == WORDS
    assert memwatch.__version__ in told["memwatch"]
    assert os.uname().release in told["system"]
    assert told["JupyterHub"] == "MEM_LIMIT is not set"
    assert "None" not in str(told)
    assert "?" not in str(told)


def test_processors_that_are_not_ours():
    one = min(os.sched_getaffinity(0))
    found = facts(preexec_fn=lambda: os.sched_setaffinity(0, {one}))
    assert found["processors"]["allowed"] == 1
    if found["peak"]["method"] == "kernel":
        # Other threads may use other processors, and later ones too.
        online = found["processors"]["online"]
        bytes_each = 3 * (max(32, 2 * online) - 1) * os.sysconf("SC_PAGESIZE")
        bound = found["peak"]["bound_bytes"]
        assert len(os.sched_getaffinity(0)) * bytes_each <= bound <= online * bytes_each


def test_limit_of_jupyterhub():
    options = {"env": environment(MEM_LIMIT=str(64 * MIB))}
    found = facts(**options)
    assert found["jupyterhub"]["limit_bytes"] == 64 * MIB
    assert found["limit"] == {"limit_bytes": 64 * MIB, "set_by": "jupyterhub"}
    told = rows(doctor(**options))
    assert told["limit"] == "64.00 MiB, set by JupyterHub"
    assert told["JupyterHub"] == "MEM_LIMIT is 64.00 MiB"


@pytest.mark.parametrize("text", ["lots", "-1", "1.5G", "0", "٣"])
def test_limit_of_jupyterhub_that_is_none(text):
    options = {"env": environment(MEM_LIMIT=text)}
    found = facts(**options)
    assert is_consistent(found)
    assert found["jupyterhub"]["limit_bytes"] is None
    assert found["limit"]["set_by"] != "jupyterhub"
    assert "expected a number of bytes" in rows(doctor(**options))["JupyterHub"]


@pytest.fixture
def limited_group():
    """A control group with a limit of 512 MiB: the files to set it, then its name."""
    lines = Path("/proc/self/cgroup").read_text().splitlines()
    paths = {line.split(":", 2)[1]: line.split(":", 2)[2] for line in lines}
    if "memory" in paths:
        parent, limit = (
            Path(f"/sys/fs/cgroup/memory{paths['memory']}"),
            "memory.limit_in_bytes",
        )
    else:
        parent, limit = Path(f"/sys/fs/cgroup{paths.get('', '/')}"), "memory.max"
    group = parent / f"memwatch-test-{os.getpid()}"
    try:
        group.mkdir()
    except OSError as error:
        pytest.skip(f"no control group can be made here: {error}")
    try:
        try:
            (group / limit).write_text(str(512 * MIB))
            (group / "cgroup.procs").open("w").close()
        except OSError as error:
            pytest.skip(f"no control group can be limited here: {error}")
        yield group
    finally:
        group.rmdir()


def test_limit_of_a_control_group(limited_group):
    def join():
        (limited_group / "cgroup.procs").write_text("0")

    options = {"env": environment(MEM_LIMIT=str(2**40)), "preexec_fn": join}
    found = facts(**options)
    assert is_consistent(found)
    assert found["cgroup"]["limit_bytes"] == 512 * MIB
    assert found["cgroup"]["group"].endswith(limited_group.name)
    assert found["cgroup"]["oom_kills"] == 0
    assert found["limit"] == {"limit_bytes": 512 * MIB, "set_by": "cgroup"}
    told = rows(doctor(**options))
    assert told["limit"] == "512.00 MiB, set by the cgroup"
    assert re.search(rf"{limited_group.name}; OOM kills: 0$", told["cgroup"])


def test_limit_of_a_control_group_above_its_namespace(limited_group):
    """A container that sees its host's mount: the group's name is not told."""
    unshare = ["unshare", "--cgroup", "true"]
    if not shutil.which("unshare") or subprocess.run(unshare, check=False).returncode:
        pytest.skip("no cgroup namespace can be made here")

    def join():
        (limited_group / "cgroup.procs").write_text("0")

    out = subprocess.run(
        ["unshare", "--cgroup", sys.executable, "-m", "memwatch", "doctor", "--json"],
        env=environment(), preexec_fn=join, capture_output=True, timeout=60, check=True,
    ).stdout  # fmt: skip
    found = json.loads(out)
    assert found["cgroup"]["limit_bytes"] == 512 * MIB
    assert found["cgroup"]["group"].endswith(limited_group.name)
    assert found["cgroup"]["oom_kills"] == 0
    assert found["limit"] == {"limit_bytes": 512 * MIB, "set_by": "cgroup"}


@pytest.mark.parametrize("mem_limit", [64 * MIB, None])
def test_status_and_plot_know_the_limit_in_effect(
    shell, capsys, monkeypatch, mem_limit
):
    monkeypatch.delenv("MEM_LIMIT", raising=False)
    if mem_limit is not None:
        monkeypatch.setenv("MEM_LIMIT", str(mem_limit))
    limit = capabilities.find_limit({})[0]
    shell.run_cell("%load_ext memwatch", store_history=True)
    capsys.readouterr()
    shell.run_cell("%memwatch status")
    said = dict(
        line.split(": ", 1)
        for line in capsys.readouterr().out.splitlines()
        if ": " in line
    )
    size = f"{limit['limit_bytes'] / MIB:.2f}"
    assert said["limit"].startswith(f"{size} MiB, ")
    assert ("JupyterHub" in said["limit"]) == (limit["set_by"] == "jupyterhub")
    assert mem_limit is None or limit["set_by"] == "jupyterhub"
    shell.run_cell("%memwatch plot")
    assert f"limit {size}" in capsys.readouterr().out


def test_process_that_may_not_look_into_itself():
    """What cannot be done has its reason; and it is told, not raised."""
    with tempfile.TemporaryDirectory() as folder:
        out = run_python(
            BECOME_NOBODY + "from memwatch.cli import main\n"
            "main(['doctor'], standalone_mode=False)\n"  # imports what it needs
            "forget_memwatch(); become_nobody(dumpable=0)\n"
            f"sys.path.insert(0, {str(readable_copy(Path(folder)))!r})\n"
            "print('---', flush=True)\n"
            "from memwatch.cli import main\n"
            "main(['doctor'], standalone_mode=False)\n"
            "print('---', flush=True)\n"
            "main(['doctor', '--json'], standalone_mode=False)\n"
        )
    _, text, data = out.split("---\n")
    found = json.loads(data)
    assert is_consistent(found)
    assert found["peak"] == {"method": "sampled", "bound_bytes": None}
    children = found["children"]
    assert children["rss"] is True
    assert [children[each] for each in ("pss", "hwm", "seize", "hwm_at_exit")] == [
        False
    ] * 4
    assert found["why"]["peak.bound_bytes"] == "Permission denied"
    assert found["why"]["children.seize"] == "Operation not permitted"
    told = rows(text)
    assert told["peak"] == (
        "sampled and may be too low: the kernel's high-water mark cannot be reset"
        " (Permission denied)"
    )
    assert told["child"] == (
        "read RSS: yes; read PSS: no (Permission denied);"
        " reset the high-water mark: no (Permission denied)"
    )
    assert told["ptrace"].startswith("seize a child: no (Operation not permitted);")


def test_out_of_descriptors_everything_is_unknown():
    code = (
        "import json, os, resource\n"
        "from memwatch.measure import capabilities\n"
        "from memwatch import _procps, _core\n"
        "capabilities.gather()\n"
        "resource.setrlimit(resource.RLIMIT_NOFILE, (64, 64))\n"
        "try:\n"
        "    while True: os.open('/dev/null', os.O_RDONLY)\n"
        "except OSError: pass\n"
        "print(json.dumps(capabilities.gather()))\n"
    )
    pytest.importorskip("memwatch._procps", reason="built without libproc2")
    found = json.loads(run_python(code))
    assert is_consistent(found)
    assert found["children"]["rss"] is None
    assert found["why"]["children.rss"].endswith("Too many open files")
    assert found["why"]["cgroup.limit_bytes"].endswith("Too many open files")
    assert found["peak"]["method"] == (
        "kernel" if _core.accuracy()["hwm_resets"] else "sampled"
    )


def test_without_libproc2():
    out = run_python(
        "import sys\n"
        "sys.modules['memwatch._procps'] = None\n"
        "from memwatch.cli import main\n"
        "main(['doctor', '--json'], standalone_mode=False)\n"
        "main(['doctor'], standalone_mode=False)\n",
        env=environment(),
    )
    data, end, text = out.partition("\n}\n")
    found = json.loads(data + end)
    assert is_consistent(found)
    (total,) = re.findall(r"MemTotal: +(\d+) kB", Path("/proc/meminfo").read_text())
    assert found["memory"]["total_bytes"] == int(total) * 1024
    assert rows(text)["memory"].startswith(f"{int(total) / 1024:.2f} MiB, ")
    assert not found["optional"]["cpu style"]["available"]
    assert rows(text)["cpu style"].startswith("no: memwatch was built without libproc2")


def test_without_ipython(tmp_path):
    """All that it needs is click."""
    import click

    shutil.copytree(Path(memwatch.__file__).parent, tmp_path / "memwatch")
    shutil.copytree(Path(click.__file__).parent, tmp_path / "click")
    out = run_python(
        f"import sys; sys.path.insert(0, {str(tmp_path)!r})\n"
        "from memwatch.cli import main\n"
        "main(['doctor'])\n",
        "-I", "-S",
    )  # fmt: skip
    assert rows(out)["memwatch"].endswith(
        ", IPython not installed, ipykernel not installed"
    )


def test_status_and_doctor_agree_and_status_is_light(shell, capsys):
    told = rows(doctor(env=environment()))
    shell.run_cell("%load_ext memwatch")
    shell.run_cell("%memwatch off")
    capsys.readouterr()
    shell.run_cell("%memwatch status")
    said = dict(line.split(": ", 1) for line in capsys.readouterr().out.splitlines())
    assert said["peak"] == told["peak"]
    assert said["RSS"] == told["RSS"]
    assert said["limit"] == told["limit"]
    loaded = run_python(
        "import sys, memwatch\n"
        "from IPython.core.interactiveshell import InteractiveShell\n"
        "ip = InteractiveShell.instance()\n"
        "ip.run_cell('%load_ext memwatch')\n"
        "ip.run_cell('%memwatch status')\n"
        "heavy = 'memwatch._procps', 'click'\n"
        "print([name for name in heavy if name in sys.modules])\n"
    )
    assert loaded.splitlines()[-1] == "[]"


def test_no_child_is_left_behind():
    out = run_python(
        "import os\n"
        "from memwatch import _core\n"
        "for _ in range(20): _core.probe_child()\n"
        "try: os.waitpid(-1, 0)\n"
        "except ChildProcessError: print('none')\n"
    )
    assert out == "none\n"
