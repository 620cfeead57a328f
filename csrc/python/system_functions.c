/* memwatch._core: folders, other processes, cgroups, malloc, capabilities. */

#include "python/core.h"

#include <errno.h>
#include <limits.h>

#include "linux/cgroup/limit.h"
#include "linux/folder.h"
#include "linux/malloc_stats.h"
#include "linux/probe.h"
#include "linux/proc.h"

/* ---- folders and processes ---- */

/* Call `act` with the path `argument`, without the GIL: the file system may hang. */
static PyObject *
call_with_path(PyObject *argument, int (*act)(const char *path), int *result)
{
    PyObject *path;
    const char *file;

    if (!PyUnicode_FSConverter(argument, (void *)&path)) {
        return NULL;
    }
    file = PyBytes_AsString(path);
    Py_BEGIN_ALLOW_THREADS;
    *result = act(file);
    Py_END_ALLOW_THREADS;
    Py_DECREF(path);
    return *result < 0 ? raise_os_error(*result, "cannot use the folder")
                       : Py_NewRef(Py_None);
}

PyDoc_STRVAR(
    core_make_folder_doc,
    "make_folder($module, path, /)\n--\n\n"
    "Create a private folder (mode 0700), or make an existing one private.\n"
    "NotADirectoryError: it is another file or a symbolic link. PermissionError: also\n"
    "if it belongs to another user. OSError.");

static PyObject *
core_make_folder(PyObject *Py_UNUSED(module), PyObject *argument)
{
    int err;

    return call_with_path(argument, mw_folder_make, &err);
}

PyDoc_STRVAR(
    core_is_mappable_doc,
    "is_mappable($module, folder, /)\n--\n\n"
    "Whether files in the folder can be mapped safely: on ext2 to ext4, XFS, tmpfs,\n"
    "and overlays on these. False: no, or unknown. OSError.");

static PyObject *
core_is_mappable(PyObject *Py_UNUSED(module), PyObject *argument)
{
    int is_mappable;
    PyObject *called = call_with_path(argument, mw_folder_is_mappable, &is_mappable);

    if (called == NULL) {
        return NULL;
    }
    Py_DECREF(called);
    return PyBool_FromLong(is_mappable);
}

/* One figure of process `argument`; None: no such process, or it has no such figure. */
static PyObject *
read_of_process(PyObject *argument,
                int (*read)(const char *root, pid_t pid, int64_t *out),
                const char *failed_call)
{
    int64_t pid = 0;
    int64_t figure;
    int err;

    if (take_int_or_none(argument, &pid) < 0) {
        return NULL;
    }
    if (pid <= 0 || pid > INT_MAX) {
        Py_RETURN_NONE;
    }
    err = read(MW_PROC_ROOT, (pid_t)pid, &figure);
    if (err == -ENOENT || err == -ESRCH || err == -ENODATA) {
        Py_RETURN_NONE;
    }
    if (err != 0) {
        return raise_os_error(err, failed_call);
    }
    return PyLong_FromLongLong(figure);
}

PyDoc_STRVAR(core_start_ticks_doc,
             "start_ticks($module, pid, /)\n--\n\n"
             "When the process started, in ticks since boot: /proc/PID/stat field 22.\n"
             "None: there is no such process. OSError.");

static PyObject *
core_start_ticks(PyObject *Py_UNUSED(module), PyObject *argument)
{
    return read_of_process(argument, mw_proc_read_start_ticks,
                           "cannot read /proc/PID/stat");
}

PyDoc_STRVAR(
    core_rss_bytes_doc,
    "rss_bytes($module, pid, /)\n--\n\n"
    "RSS of the process now: /proc/PID/statm field 2 x page size. None: it has no\n"
    "memory, or there is no such process. OSError.");

static PyObject *
core_rss_bytes(PyObject *Py_UNUSED(module), PyObject *argument)
{
    return read_of_process(argument, mw_proc_read_rss_of,
                           "cannot read /proc/PID/statm");
}

PyDoc_STRVAR(
    core_oom_kills_doc,
    "oom_kills($module, file, /)\n--\n\n"
    "The current count of OOM kills in the `oom_file` of a black box. None: not\n"
    "visible, or not such a file.");

static PyObject *
core_oom_kills(PyObject *Py_UNUSED(module), PyObject *argument)
{
    const char *file = PyUnicode_AsUTF8AndSize(argument, NULL);
    int64_t kills;

    if (file == NULL) {
        return NULL;
    }
    if (mw_cgroup_reread_oom_kills(MW_CGROUP_MOUNT, file, &kills) != 0) {
        kills = MW_ABSENT;
    }
    return int_or_none(kills);
}

/* ---- cgroups ---- */

PyDoc_STRVAR(core_cgroup_folder_doc,
             "cgroup_folder($module, /)\n--\n\n"
             "The folder of this process's memory cgroup, and its version, 1 or 2.\n"
             "OSError: none is visible.");

static PyObject *
core_cgroup_folder(PyObject *Py_UNUSED(module), PyObject *Py_UNUSED(ignored))
{
    struct mw_cgroup_path group;
    int version = 1;
    int err = mw_cgroup_path_find(MW_PROC_ROOT, MW_CGROUP_MOUNT, 0, "memory", &group);

    if (err != 0) {
        version = 2;
        err = mw_cgroup_path_find(MW_PROC_ROOT, MW_CGROUP_MOUNT, 0, NULL, &group);
    }
    if (err != 0) {
        return raise_os_error(err, "cannot find the memory cgroup");
    }
    return Py_BuildValue(
        "Ni", PyUnicode_FromFormat("%s%s%s", MW_CGROUP_MOUNT, group.place, group.path),
        version);
}

PyDoc_STRVAR(core_cgroup_doc,
             "cgroup($module, /)\n--\n\n"
             "The cgroup's limit_bytes (None: no limit), the group that sets it, and "
             "oom_kills,\n"
             "the number of OOM kills in it (None: not visible). OSError.");

static PyObject *
core_cgroup(PyObject *Py_UNUSED(module), PyObject *Py_UNUSED(ignored))
{
    struct mw_cgroup_limit limit;
    int64_t kills;
    PyObject *dict;
    int err = mw_cgroup_read_limit(MW_PROC_ROOT, MW_CGROUP_MOUNT, 0, &limit);

    if (err != 0) {
        return raise_os_error(err, "cannot read /proc/self/cgroup");
    }
    if (mw_cgroup_read_oom_kills(MW_PROC_ROOT, MW_CGROUP_MOUNT, 0, &kills) != 0) {
        kills = MW_ABSENT;
    }
    dict = Py_BuildValue("{sz}", "group", *limit.group ? limit.group : NULL);
    if (dict == NULL ||
        set_item(dict, "limit_bytes", int_or_none(limit.limit_bytes)) < 0 ||
        set_item(dict, "oom_kills", int_or_none(kills)) < 0) {
        Py_CLEAR(dict);
    }
    return dict;
}

/* ---- malloc ---- */

PyDoc_STRVAR(
    core_malloc_stats_doc,
    "malloc_stats($module, /)\n--\n\n"
    "Free memory that malloc retains: retained_bytes (mallinfo2().fordblks, an\n"
    "upper bound of its part in RSS); what it has handed out: in_use_bytes; and\n"
    "duration_ns, how long reading took.\n"
    "None: glibc before 2.33, musl, or a preloaded malloc.");

static PyObject *
core_malloc_stats(PyObject *Py_UNUSED(module), PyObject *Py_UNUSED(ignored))
{
    struct mw_malloc_stats stats;
    int err;
    /* malloc walks its free memory: milliseconds if there is much. */
    PyThreadState *thread = PyEval_SaveThread();

    err = mw_malloc_stats_read(&stats);
    PyEval_RestoreThread(thread);
    if (err != 0) {
        Py_RETURN_NONE;
    }
    return Py_BuildValue("{sLsLsL}", "retained_bytes", (long long)stats.retained_bytes,
                         "in_use_bytes", (long long)stats.in_use_bytes, "duration_ns",
                         (long long)stats.duration_ns);
}

PyDoc_STRVAR(
    core_malloc_trim_doc,
    "malloc_trim($module, /)\n--\n\n"
    "Return the free memory of malloc to the system. False: this malloc cannot.");

static PyObject *
core_malloc_trim(PyObject *Py_UNUSED(module), PyObject *Py_UNUSED(ignored))
{
    PyThreadState *thread = PyEval_SaveThread();
    bool can = mw_malloc_trim();

    PyEval_RestoreThread(thread);
    return PyBool_FromLong(can);
}

/* ---- capabilities ---- */

static const char *
why_not(int err)
{
    if (err == EOPNOTSUPP) {
        return "the call has no effect";
    }
    return err == 0 ? NULL : error_text(err);
}

PyDoc_STRVAR(
    core_probe_child_doc,
    "probe_child($module, /)\n--\n\n"
    "What works on a child process, tried on a forked one: None, or why not, for\n"
    "reading RSS and PSS, resetting the high-water mark (hwm), tracing (seize),\n"
    "and reading the mark at its exit (last_hwm). OSError: no child.");

static PyObject *
core_probe_child(PyObject *Py_UNUSED(module), PyObject *Py_UNUSED(ignored))
{
    struct mw_probe probe;
    int err = mw_probe_run(&probe);

    if (err != 0) {
        return raise_os_error(err, "cannot start a child process");
    }
    /* strerror() has one buffer: copy each text at once. */
    return Py_BuildValue(
        "{sNsNsNsNsN}", "rss_error", Py_BuildValue("z", why_not(probe.rss_errno)),
        "pss_error", Py_BuildValue("z", why_not(probe.pss_errno)), "hwm_error",
        Py_BuildValue("z", why_not(probe.hwm_errno)), "seize_error",
        Py_BuildValue("z", why_not(probe.seize_errno)), "last_hwm_error",
        Py_BuildValue("z", why_not(probe.last_hwm_errno)));
}

static PyMethodDef system_methods[] = {
    {"make_folder", core_make_folder, METH_O, core_make_folder_doc},
    {"is_mappable", core_is_mappable, METH_O, core_is_mappable_doc},
    {"start_ticks", core_start_ticks, METH_O, core_start_ticks_doc},
    {"rss_bytes", core_rss_bytes, METH_O, core_rss_bytes_doc},
    {"oom_kills", core_oom_kills, METH_O, core_oom_kills_doc},
    {"cgroup", core_cgroup, METH_NOARGS, core_cgroup_doc},
    {"cgroup_folder", core_cgroup_folder, METH_NOARGS, core_cgroup_folder_doc},
    {"malloc_stats", core_malloc_stats, METH_NOARGS, core_malloc_stats_doc},
    {"malloc_trim", core_malloc_trim, METH_NOARGS, core_malloc_trim_doc},
    {"probe_child", core_probe_child, METH_NOARGS, core_probe_child_doc},
    {NULL, NULL, 0, NULL},
};

int
core_add_system_functions(PyObject *module)
{
    return PyModule_AddFunctions(module, system_methods);
}
