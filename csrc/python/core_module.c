/* memwatch._core: windows on the interpreter's own process.
 *
 * The sampler's lock is taken with the GIL held: whoever has it does a few
 * microseconds of work and never waits for the GIL. */

#include "process_module.h"

#include <string.h>

#include "mw_cgroup.h"
#include "mw_cpu_capsule.h"
#include "mw_proc.h"
#include "mw_recording.h"

/* ---- functions ---- */

PyDoc_STRVAR(
    core_accuracy_doc,
    "accuracy($module, /)\n--\n\n"
    "What this machine's figures may claim, as tried out when the first window\n"
    "opened, or now: exact (RSS counts every page at once), mark_resets (the kernel's\n"
    "high-water mark can be reset), mark_error (why not, or None),\n"
    "bound_bytes (how far a mark may be off). OSError.");

static PyObject *
core_accuracy(PyObject *module, PyObject *Py_UNUSED(ignored))
{
    struct mw_sampler *sampler = get_sampler(get_state(module));
    struct mw_accuracy accuracy;
    const char *why;

    if (sampler == NULL) {
        return NULL;
    }
    accuracy = mw_sampler_accuracy(sampler);
    why = accuracy.mark_resets       ? NULL
          : accuracy.mark_errno != 0 ? error_text(accuracy.mark_errno)
                                     : "it does not follow what the process uses";
    return Py_BuildValue("{sOsOszsL}", "exact", accuracy.exact ? Py_True : Py_False,
                         "mark_resets", accuracy.mark_resets ? Py_True : Py_False,
                         "mark_error", why, "bound_bytes",
                         (long long)accuracy.bound_bytes);
}

PyDoc_STRVAR(core_memory_doc,
             "memory($module, /)\n--\n\n"
             "This process now, in bytes: rss, anon, file, shmem, swap from one read\n"
             "of /proc/self/status, and lifetime_peak, the highest RSS since the\n"
             "process began, which the kernel forgets when a window opens. OSError.");

static PyObject *
core_memory(PyObject *module, PyObject *Py_UNUSED(ignored))
{
    struct mw_sampler *sampler = get_sampler(get_state(module));
    struct mw_memory memory;
    struct mw_sampler_status status;
    int err;

    if (sampler == NULL) {
        return NULL;
    }
    err = mw_sampler_read_memory(sampler, &memory);
    if (err != 0) {
        return raise_os_error(err, "cannot read /proc/self/status");
    }
    mw_sampler_read_status(sampler, &status);
    const struct int_item items[] = {
        {"rss_bytes", memory.rss_bytes},
        {"anon_bytes", memory.anon_bytes},
        {"file_bytes", memory.file_bytes},
        {"shmem_bytes", memory.shmem_bytes},
        {"swap_bytes", memory.swap_bytes},
        {"lifetime_peak_bytes", status.lifetime_peak_bytes},
    };
    return INTS_AS_DICT(items);
}

PyDoc_STRVAR(
    core_sampler_doc,
    "sampler($module, /)\n--\n\n"
    "The sampler of itself: samples taken, missed (the thread came too late),\n"
    "open_windows, and whether the thread is running and parked. OSError.");

static PyObject *
core_sampler(PyObject *module, PyObject *Py_UNUSED(ignored))
{
    struct mw_sampler *sampler = get_sampler(get_state(module));
    struct mw_sampler_status status;

    if (sampler == NULL) {
        return NULL;
    }
    mw_sampler_read_status(sampler, &status);
    return Py_BuildValue("{sLsLsisOsO}", "samples", (long long)status.samples, "missed",
                         (long long)status.missed, "open_windows", status.open_windows,
                         "running", status.running ? Py_True : Py_False, "parked",
                         status.parked ? Py_True : Py_False);
}

PyDoc_STRVAR(
    core_cgroup_doc,
    "cgroup($module, /)\n--\n\n"
    "The control group's limit_bytes (None: not limited), the group that sets\n"
    "it (None: no group does), and oom_kills, how many processes were killed\n"
    "in it for want of memory (None: not to be seen). OSError where\n"
    "/proc/self/cgroup cannot be read.");

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

PyDoc_STRVAR(core_set_cpu_reader_doc,
             "set_cpu_reader($module, reader, /)\n--\n\n"
             "Have windows read the processors by `reader`, which is what\n"
             "memwatch._host.cpu_reader() returns; None: no longer.");

static PyObject *
core_set_cpu_reader(PyObject *module, PyObject *capsule)
{
    struct core_state *state = get_state(module);
    struct mw_sampler *sampler = get_sampler(state);
    const struct mw_cpu_reader *reader = NULL;
    PyObject *before;

    if (sampler == NULL) {
        return NULL;
    }
    if (capsule != Py_None) {
        reader = PyCapsule_GetPointer(capsule, MW_CPU_CAPSULE);
        if (reader == NULL) {
            return NULL;
        }
    }
    PyThread_acquire_lock(state->lock, WAIT_LOCK);
    mw_sampler_set_cpu_reader(sampler, reader);
    before = state->cpu_capsule;
    state->cpu_capsule = reader != NULL ? Py_NewRef(capsule) : NULL;
    PyThread_release_lock(state->lock);
    Py_XDECREF(before);
    Py_RETURN_NONE;
}

PyDoc_STRVAR(
    core_start_recording_doc,
    "start_recording($module, path, /, user=None, kernel_id=None, notebook=None,\n"
    "                limit_bytes=None, limit_set_by=None, limit_group=None,\n"
    "                copy=None)\n--\n\n"
    "Write all that is measured from now on to a black box, the file `path`, too;\n"
    "one that is written already is removed. The file system has to be one that\n"
    "can be mapped safely; None: the box is in memory only. A thread keeps a copy\n"
    "in the file `copy`, which may be anywhere; it is waited for 0.25 s at most.\n"
    "OSError: a file cannot be made.");

/* None is NULL: then *path stays so. */
static int
take_path(PyObject *given, PyObject **path)
{
    return given == Py_None || PyUnicode_FSConverter(given, (void *)path) ? 0 : -1;
}

static PyObject *
core_start_recording(PyObject *module, PyObject *args, PyObject *kwargs)
{
    static char *names[] = {"",
                            "user",
                            "kernel_id",
                            "notebook",
                            "limit_bytes",
                            "limit_set_by",
                            "limit_group",
                            "copy",
                            NULL};
    struct mw_sampler *sampler = get_sampler(get_state(module));
    struct mw_box_identity given = {.limit_bytes = MW_UNLIMITED};
    PyObject *path = NULL;
    PyObject *copy = NULL;
    PyObject *paths[] = {Py_None, Py_None};
    PyObject *limit = Py_None;
    PyObject *texts[] = {Py_None, Py_None, Py_None, Py_None, Py_None};
    PyObject *result = NULL;
    const char *file;
    const char *copy_file;
    int err;

    if (sampler == NULL ||
        !PyArg_ParseTupleAndKeywords(args, kwargs, "O|OOOOOOO:start_recording", names,
                                     &paths[0], &texts[0], &texts[1], &texts[2], &limit,
                                     &texts[3], &texts[4], &paths[1]) ||
        take_path(paths[0], &path) < 0 || take_path(paths[1], &copy) < 0 ||
        take_int_or_none(limit, &given.limit_bytes) < 0) {
        goto out;
    }
    put_text_of(given.user, sizeof given.user, texts[0]);
    put_text_of(given.kernel_id, sizeof given.kernel_id, texts[1]);
    put_text_of(given.notebook, sizeof given.notebook, texts[2]);
    put_text_of(given.limit_set_by, sizeof given.limit_set_by, texts[3]);
    put_text_of(given.limit_group, sizeof given.limit_group, texts[4]);
    file = path != NULL ? PyBytes_AsString(path) : NULL;
    copy_file = copy != NULL ? PyBytes_AsString(copy) : NULL;
    Py_BEGIN_ALLOW_THREADS;
    err = mw_recording_start(sampler, file, copy_file, &given);
    Py_END_ALLOW_THREADS;
    result = err != 0 ? raise_os_error(err, "the black box cannot be made")
                      : Py_NewRef(Py_None);
out:
    Py_XDECREF(path);
    Py_XDECREF(copy);
    return result;
}

PyDoc_STRVAR(core_stop_recording_doc,
             "stop_recording($module, /)\n--\n\n"
             "Remove the black box; without one: nothing. In a forked child: nothing.");

static PyObject *
core_stop_recording(PyObject *module, PyObject *Py_UNUSED(ignored))
{
    struct mw_sampler *sampler = get_sampler(get_state(module));

    if (sampler == NULL) {
        return NULL;
    }
    Py_BEGIN_ALLOW_THREADS;
    mw_recording_stop(sampler);
    Py_END_ALLOW_THREADS;
    Py_RETURN_NONE;
}

PyDoc_STRVAR(core_set_attributes_doc,
             "set_attributes($module, object, values, /)\n--\n\n"
             "Set each attribute of the dict `values` as object.__setattr__() does:\n"
             "the fast way to fill a new instance of a frozen dataclass.");

static PyObject *
core_set_attributes(PyObject *Py_UNUSED(module), PyObject *args)
{
    PyObject *object;
    PyObject *values;
    PyObject *name;
    PyObject *value;
    Py_ssize_t position = 0;

    if (!PyArg_ParseTuple(args, "OO!:set_attributes", &object, &PyDict_Type, &values)) {
        return NULL;
    }
    while (PyDict_Next(values, &position, &name, &value)) {
        if (PyObject_GenericSetAttr(object, name, value) < 0) {
            return NULL;
        }
    }
    Py_RETURN_NONE;
}

PyDoc_STRVAR(
    core_recording_doc,
    "recording($module, /)\n--\n\n"
    "The black box that is written: path, where it can be read here, and\n"
    "copy_error, why its copy is not written (None: it is, or there is none).\n"
    "None: no box is written.");

static PyObject *
core_recording(PyObject *module, PyObject *Py_UNUSED(ignored))
{
    struct mw_sampler *sampler = get_sampler(get_state(module));
    struct mw_recording found;

    if (sampler == NULL) {
        return NULL;
    }
    if (!mw_recording_read(sampler, &found)) {
        Py_RETURN_NONE;
    }
    return Py_BuildValue("{sNsz}", "path", PyUnicode_DecodeFSDefault(found.path),
                         "copy_error",
                         found.copy_errno != 0 ? error_text(found.copy_errno) : NULL);
}

PyDoc_STRVAR(
    core_has_lost_recording_doc,
    "has_lost_recording($module, /)\n--\n\n"
    "Whether a black box is written whose file somebody removed: one fstat().");

static PyObject *
core_has_lost_recording(PyObject *module, PyObject *Py_UNUSED(ignored))
{
    struct mw_sampler *sampler = get_sampler(get_state(module));

    if (sampler == NULL) {
        return NULL;
    }
    return PyBool_FromLong(mw_recording_is_lost(sampler));
}

/* ---- the module ---- */

static PyMethodDef core_methods[] = {
    {"accuracy", core_accuracy, METH_NOARGS, core_accuracy_doc},
    {"memory", core_memory, METH_NOARGS, core_memory_doc},
    {"sampler", core_sampler, METH_NOARGS, core_sampler_doc},
    {"cgroup", core_cgroup, METH_NOARGS, core_cgroup_doc},
    {"start_recording", (PyCFunction)(void (*)(void))core_start_recording,
     METH_VARARGS | METH_KEYWORDS, core_start_recording_doc},
    {"stop_recording", core_stop_recording, METH_NOARGS, core_stop_recording_doc},
    {"set_attributes", core_set_attributes, METH_VARARGS, core_set_attributes_doc},
    {"recording", core_recording, METH_NOARGS, core_recording_doc},
    {"has_lost_recording", core_has_lost_recording, METH_NOARGS,
     core_has_lost_recording_doc},
    {"set_cpu_reader", core_set_cpu_reader, METH_O, core_set_cpu_reader_doc},
    {NULL, NULL, 0, NULL},
};

static int
core_exec(PyObject *module)
{
    struct core_state *state = get_state(module);

    state->lock = PyThread_allocate_lock();
    if (state->lock == NULL) {
        PyErr_NoMemory();
        return -1;
    }
    /* state->sampler stays NULL until something is measured: opening it probes the
     * high-water mark, which resets it, and an import changes nothing. */
    state->figure_names = core_window_figure_names();
    if (state->figure_names == NULL) {
        return -1;
    }
    state->window_type =
        (PyTypeObject *)PyType_FromModuleAndSpec(module, &core_window_spec, NULL);
    if (state->window_type == NULL) {
        return -1;
    }
    state->process_type =
        (PyTypeObject *)PyType_FromModuleAndSpec(module, &core_process_spec, NULL);
    if (state->process_type == NULL ||
        PyModule_AddType(module, state->process_type) < 0) {
        return -1;
    }
    return PyModule_AddType(module, state->window_type);
}

static int
core_traverse(PyObject *module, visitproc visit, void *arg)
{
    struct core_state *state = get_state(module);

    Py_VISIT(state->cpu_capsule);
    Py_VISIT(state->figure_names);
    Py_VISIT(state->window_type);
    Py_VISIT(state->process_type);
    return 0;
}

static int
core_clear(PyObject *module)
{
    struct core_state *state = get_state(module);

    if (state->cpu_capsule != NULL) {
        mw_sampler_withdraw_cpu_reader(
            state->sampler, PyCapsule_GetPointer(state->cpu_capsule, MW_CPU_CAPSULE));
    }
    Py_CLEAR(state->cpu_capsule);
    Py_CLEAR(state->figure_names);
    Py_CLEAR(state->window_type);
    Py_CLEAR(state->process_type);
    return 0;
}

static void
core_free(void *module)
{
    struct core_state *state = get_state((PyObject *)module);

    core_clear((PyObject *)module);
    mw_self_release(&state->sampler);
    if (state->lock != NULL) {
        PyThread_free_lock(state->lock);
    }
}

static PyModuleDef_Slot core_slots[] = {
    {Py_mod_exec, core_exec},
    LAST_MODULE_SLOTS,
};

PyDoc_STRVAR(core_doc, "What a stretch of this process's life costs in memory.");

static struct PyModuleDef core_definition = {
    PyModuleDef_HEAD_INIT,       .m_name = "memwatch._core",
    .m_doc = core_doc,           .m_size = sizeof(struct core_state),
    .m_methods = core_methods,   .m_slots = core_slots,
    .m_traverse = core_traverse, .m_clear = core_clear,
    .m_free = core_free,
};

PyMODINIT_FUNC
PyInit__core(void)
{
    return PyModuleDef_Init(&core_definition);
}
