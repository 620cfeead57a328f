/* memwatch._core: windows on the interpreter's own process.
 *
 * The sampler's lock is taken with the GIL held: whoever has it does a few
 * microseconds of work and never waits for the GIL. */

#include "support_module.h"

#include <errno.h>
#include <string.h>

#include "mw_cgroup.h"
#include "mw_cpu_capsule.h"
#include "mw_proc.h"
#include "mw_self.h"

struct core_state {
    PyThread_type_lock lock;    /* guards the two below where there is no GIL */
    struct mw_sampler *sampler; /* NULL: not to be had when we last tried */
    PyObject *cpu_capsule;      /* keeps the reader alive; NULL: none is set */
    PyTypeObject *window_type;
};

/* ---- helpers ---- */

static struct core_state *
get_state(PyObject *module)
{
    return (struct core_state *)PyModule_GetState(module);
}

static struct mw_sampler *
get_sampler(struct core_state *state)
{
    struct mw_sampler *sampler;
    int err = 0;

    PyThread_acquire_lock(state->lock, WAIT_LOCK);
    if (state->sampler == NULL) {
        err = mw_self_acquire(&state->sampler);
    }
    sampler = state->sampler;
    PyThread_release_lock(state->lock);
    if (err != 0) {
        raise_os_error(err, "cannot read this process's memory in /proc/self");
    }
    return sampler;
}

/* ---- Window ---- */

typedef struct {
    PyObject_HEAD
    struct mw_sampler *sampler; /* the module's: it outlives its windows */
    PyObject *module;
    struct mw_watch watch;
} WindowObject;

static PyObject *
window_new(PyTypeObject *type, PyObject *args, PyObject *kwargs)
{
    PyObject *module = PyType_GetModule(type);
    struct mw_sampler *sampler;
    WindowObject *self;
    int err;

    if (module == NULL || refuse_arguments(args, kwargs) < 0) {
        return NULL;
    }
    sampler = get_sampler(get_state(module));
    if (sampler == NULL) {
        return NULL;
    }
    self = PyObject_New(WindowObject, type);
    if (self == NULL) {
        return NULL;
    }
    self->sampler = sampler;
    self->module = Py_NewRef(module);
    err = mw_sampler_open(sampler, &self->watch);
    if (err != 0) {
        Py_DECREF(self);
        return raise_os_error(err, "cannot open a window on /proc/self");
    }
    return (PyObject *)self;
}

static void
window_dealloc(PyObject *op)
{
    WindowObject *self = (WindowObject *)op;
    PyTypeObject *type = Py_TYPE(op);

    mw_sampler_cancel(self->sampler, &self->watch);
    Py_DECREF(self->module);
    PyObject_Free(op);
    Py_DECREF(type);
}

static PyObject *
result_as_dict(const struct mw_result *result)
{
    const struct int_item items[] = {
        {"duration_ns", result->duration_ns},
        {"rss_start_bytes", result->rss_start_bytes},
        {"rss_end_bytes", result->rss_end_bytes},
        {"rss_peak_bytes", result->rss_peak_bytes},
        {"used_bytes", result->used_bytes},
        {"peaked_bytes", result->peaked_bytes},
        {"peak_error_bytes", result->peak_error_bytes},
        {"anon_bytes", result->anon_bytes},
        {"file_bytes", result->file_bytes},
        {"shmem_bytes", result->shmem_bytes},
        {"swap_bytes", result->swap_bytes},
        {"system_mean_cpu_percent", result->system_mean_cpu_percent},
        {"single_max_cpu_percent", result->single_max_cpu_percent},
    };
    const char *method = result->peak_from_kernel ? "kernel" : "sampled";
    PyObject *dict = INTS_AS_DICT(items);

    if (dict != NULL &&
        set_item(dict, "peak_method", PyUnicode_FromString(method)) < 0) {
        Py_CLEAR(dict);
    }
    return dict;
}

PyDoc_STRVAR(
    window_close_doc,
    "close($self, /)\n--\n\n"
    "End the window; return its figures and the two series of its timeline.\n\n"
    "The figures go by CellReport's names: bytes, nanoseconds, percent; None\n"
    "where one is not to be had. The series, time and RSS, are bytes of native\n"
    "64-bit integers. Returns None where the window is closed already, or was\n"
    "opened by the process that this one was forked from. OSError where /proc\n"
    "cannot be read.");

static PyObject *
window_close(PyObject *op, PyObject *Py_UNUSED(ignored))
{
    WindowObject *self = (WindowObject *)op;
    const struct mw_timeline *timeline = &self->watch.timeline;
    Py_ssize_t length;
    struct mw_result result;
    PyObject *figures;
    int err = mw_sampler_close(self->sampler, &self->watch, &result);

    if (err == -ESTALE) {
        Py_RETURN_NONE;
    }
    if (err != 0) {
        return raise_os_error(err, "cannot close a window on /proc/self");
    }
    figures = result_as_dict(&result);
    if (figures == NULL) {
        return NULL;
    }
    length = timeline->count * (Py_ssize_t)sizeof(int64_t);
    return Py_BuildValue("(Ny#y#)", figures, (const char *)timeline->t_ns, length,
                         (const char *)timeline->rss_bytes, length);
}

PyDoc_STRVAR(window_cancel_doc,
             "cancel($self, /)\n--\n\nEnd the window, tell nothing.");

static PyObject *
window_cancel(PyObject *op, PyObject *Py_UNUSED(ignored))
{
    WindowObject *self = (WindowObject *)op;

    mw_sampler_cancel(self->sampler, &self->watch);
    Py_RETURN_NONE;
}

static PyMethodDef window_methods[] = {
    {"close", window_close, METH_NOARGS, window_close_doc},
    {"cancel", window_cancel, METH_NOARGS, window_cancel_doc},
    {NULL, NULL, 0, NULL},
};

PyDoc_STRVAR(window_doc,
             "Window()\n--\n\n"
             "A window on this process, open from now until close(), cancel() or its\n"
             "end of life. OSError where /proc cannot be read or no thread be had.");

static PyType_Slot window_slots[] = {
    {Py_tp_doc, (void *)window_doc},
    {Py_tp_new, window_new},
    {Py_tp_dealloc, window_dealloc},
    {Py_tp_methods, window_methods},
    {0, NULL},
};

static PyType_Spec window_spec = {
    .name = "memwatch._core.Window",
    .basicsize = sizeof(WindowObject),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_IMMUTABLETYPE,
    .slots = window_slots,
};

/* ---- functions ---- */

PyDoc_STRVAR(
    core_accuracy_doc,
    "accuracy($module, /)\n--\n\n"
    "What this machine's figures may claim, as tried out when memwatch was\n"
    "loaded: exact (RSS counts every page at once), mark_resets (the kernel's\n"
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

/* ---- the module ---- */

static PyMethodDef core_methods[] = {
    {"accuracy", core_accuracy, METH_NOARGS, core_accuracy_doc},
    {"memory", core_memory, METH_NOARGS, core_memory_doc},
    {"sampler", core_sampler, METH_NOARGS, core_sampler_doc},
    {"cgroup", core_cgroup, METH_NOARGS, core_cgroup_doc},
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
    /* A /proc that cannot be read is the first window's error, not the import's:
     * what only imports memwatch goes on. */
    mw_self_acquire(&state->sampler);
    state->window_type =
        (PyTypeObject *)PyType_FromModuleAndSpec(module, &window_spec, NULL);
    if (state->window_type == NULL) {
        return -1;
    }
    return PyModule_AddType(module, state->window_type);
}

static int
core_traverse(PyObject *module, visitproc visit, void *arg)
{
    struct core_state *state = get_state(module);

    Py_VISIT(state->cpu_capsule);
    Py_VISIT(state->window_type);
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
    Py_CLEAR(state->window_type);
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
