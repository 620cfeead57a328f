/* memwatch._procps, linked with libproc2: the children of this process, and the
 * machine's memory and processors. */

#include "python/support.h"

#include <errno.h>
#include <stdatomic.h>

#include "linux/procps/machine.h"
#include "python/cpu_capsule.h"
#include "sampler/children/children_sampler.h"
#include "sampler/children/starts.h"

struct procps_state {
    /* Whether the module has acquired the children's sampler, until its end.
     * Sequentially consistent: several threads may start it at once. */
    atomic_bool acquired;
};

static struct procps_state *
get_state(PyObject *module)
{
    return (struct procps_state *)PyModule_GetState(module);
}

static PyObject *
raise_children_error(int err, bool no_thread)
{
    return raise_os_error(err, no_thread
                                   ? "cannot create the thread that reads the children "
                                     "(pthread_create)"
                                   : "libproc2 cannot read the processes in /proc");
}

/* ---- Window ---- */

typedef struct {
    PyObject_HEAD
    PyObject *module;                  /* has acquired the sampler */
    struct mw_children_target *target; /* NULL: this process's children */
    struct mw_children_watch watch;
} WindowObject;

/* On the pids in a sequence. -1 with an exception set. */
static int
target_of(PyObject *sequence, struct mw_children_target **out)
{
    Py_ssize_t count = PySequence_Size(sequence);
    pid_t *pids;

    if (count < 0) {
        return -1;
    }
    pids = PyMem_Malloc((size_t)count * sizeof *pids);
    if (pids == NULL) {
        PyErr_NoMemory();
        return -1;
    }
    for (Py_ssize_t i = 0; i < count; i++) {
        PyObject *item = PySequence_GetItem(sequence, i);

        pids[i] = item == NULL ? -1 : (pid_t)PyLong_AsLong(item);
        Py_XDECREF(item);
    }
    if (!PyErr_Occurred()) {
        int err = mw_children_target_new(out, pids, (size_t)count);

        if (err != 0) {
            raise_children_error(err, false);
        }
    }
    PyMem_Free(pids);
    return PyErr_Occurred() ? -1 : 0;
}

static PyObject *
window_new(PyTypeObject *type, PyObject *args, PyObject *Py_UNUSED(kwargs))
{
    PyObject *module = PyType_GetModule(type);
    PyObject *pids = NULL;
    WindowObject *self;
    int err;

    if (module == NULL || !PyArg_ParseTuple(args, "|O:ChildrenWindow", &pids)) {
        return NULL;
    }
    if (!atomic_load(&get_state(module)->acquired)) {
        PyErr_SetString(PyExc_RuntimeError,
                        "call memwatch._procps.start_children() first");
        return NULL;
    }
    self = PyObject_New(WindowObject, type);
    if (self == NULL) {
        return NULL;
    }
    self->module = Py_NewRef(module);
    self->target = NULL;
    self->watch.open = false;
    if (pids != NULL && target_of(pids, &self->target) < 0) {
        Py_DECREF(self);
        return NULL;
    }
    Py_BEGIN_ALLOW_THREADS;
    err = mw_children_open(&self->watch, self->target);
    Py_END_ALLOW_THREADS;
    if (err != 0) {
        PyObject *raised = raise_children_error(err, self->watch.no_thread);

        Py_DECREF(self);
        return raised;
    }
    return (PyObject *)self;
}

static void
window_dealloc(PyObject *op)
{
    WindowObject *self = (WindowObject *)op;
    PyTypeObject *type = Py_TYPE(op);

    Py_BEGIN_ALLOW_THREADS; /* the target is freed after a reading */
    mw_children_cancel(&self->watch);
    mw_children_target_free(&self->target);
    Py_END_ALLOW_THREADS;
    Py_DECREF(self->module);
    PyObject_Free(op);
    Py_DECREF(type);
}

PyDoc_STRVAR(
    window_close_doc,
    "close($self, /)\n--\n\n"
    "Close the window, with one more reading, PSS included; return its figures\n"
    "by CellReport's names. None: it is closed already, or the parent process\n"
    "opened it before a fork(). OSError.");

static PyObject *
window_close(PyObject *op, PyObject *Py_UNUSED(ignored))
{
    WindowObject *self = (WindowObject *)op;
    struct mw_children_result result;
    int err;

    Py_BEGIN_ALLOW_THREADS;
    err = mw_children_close(&self->watch, &result);
    Py_END_ALLOW_THREADS;
    if (err == -ESTALE) {
        Py_RETURN_NONE;
    }
    if (err != 0) {
        return raise_children_error(err, false);
    }
    const struct int_item items[] = {
        {"children_count", result.count},
        {"children_pss_bytes", result.pss_bytes},
        {"children_rss_bytes", result.rss_bytes},
        {"children_count_peak", result.count_peak},
        {"children_rss_peak_bytes", result.rss_peak_bytes},
        {"children_pss_peak_bytes", result.pss_peak_bytes},
        {"tree_pss_peak_bytes", result.tree_pss_peak_bytes},
        {"children_missed", result.missed},
        {"own_pss_bytes", result.own_pss_bytes},
    };
    return INTS_AS_DICT(items);
}

PyDoc_STRVAR(window_cancel_doc,
             "cancel($self, /)\n--\n\nClose the window without a result.");

static PyObject *
window_cancel(PyObject *op, PyObject *Py_UNUSED(ignored))
{
    mw_children_cancel(&((WindowObject *)op)->watch);
    Py_RETURN_NONE;
}

static PyMethodDef window_methods[] = {
    {"close", window_close, METH_NOARGS, window_close_doc},
    {"cancel", window_cancel, METH_NOARGS, window_cancel_doc},
    {NULL, NULL, 0, NULL},
};

PyDoc_STRVAR(
    window_doc,
    "ChildrenWindow(pids=None, /)\n--\n\n"
    "An open window on the children of this process, or of the processes `pids`,\n"
    "without these; needs start_children(). OSError.");

static PyType_Slot window_slots[] = {
    {Py_tp_doc, (void *)window_doc},
    {Py_tp_new, window_new},
    {Py_tp_dealloc, window_dealloc},
    {Py_tp_methods, window_methods},
    {0, NULL},
};

static PyType_Spec window_spec = {
    .name = "memwatch._procps.ChildrenWindow",
    .basicsize = sizeof(WindowObject),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_IMMUTABLETYPE,
    .slots = window_slots,
};

/* ---- functions ---- */

PyDoc_STRVAR(
    procps_start_children_doc,
    "start_children($module, /)\n--\n\n"
    "Start the thread that reads the processes, and wait for its first reading.\n"
    "Idempotent; returns whether this call started it. OSError.");

static PyObject *
procps_start_children(PyObject *module, PyObject *Py_UNUSED(ignored))
{
    struct procps_state *state = get_state(module);
    bool first = !atomic_load(&state->acquired);
    bool no_thread = false;
    int err = 0;

    if (first) {
        Py_BEGIN_ALLOW_THREADS;
        err = mw_children_acquire(&no_thread);
        if (err == 0 && atomic_exchange(&state->acquired, true)) {
            first = false; /* another thread was faster */
            mw_children_release();
        }
        Py_END_ALLOW_THREADS;
    }
    if (err != 0) {
        return raise_children_error(err, no_thread);
    }
    return PyBool_FromLong(first);
}

PyDoc_STRVAR(procps_count_started_children_doc,
             "count_started_children($module, event, arguments, /)\n--\n\n"
             "An audit hook that counts started children: sys.addaudithook().");

static PyObject *
procps_count_started_children(PyObject *Py_UNUSED(module), PyObject *args)
{
    static const struct {
        const char *event;
        enum mw_children_start how;
    } known[] = {
        {"subprocess.Popen", MW_CHILDREN_POPEN}, {"os.fork", MW_CHILDREN_FORK},
        {"os.forkpty", MW_CHILDREN_FORK},        {"os.posix_spawn", MW_CHILDREN_SPAWN},
        {"os.system", MW_CHILDREN_SYSTEM},
    };
    PyObject *event = PyTuple_GetItem(args, 0);

    if (event == NULL) {
        return NULL;
    }
    for (size_t i = 0; i < sizeof known / sizeof *known; i++) {
        if (PyUnicode_Check(event) &&
            PyUnicode_CompareWithASCIIString(event, known[i].event) == 0) {
            mw_children_announce(known[i].how);
        }
    }
    Py_RETURN_NONE;
}

/* ---- the machine ---- */

PyDoc_STRVAR(procps_machine_memory_doc,
             "machine_memory($module, /)\n--\n\n"
             "MemTotal and MemAvailable of /proc/meminfo, in bytes. OSError.");

static PyObject *
procps_machine_memory(PyObject *Py_UNUSED(module), PyObject *Py_UNUSED(ignored))
{
    struct mw_machine *machine;
    struct mw_machine_memory memory;
    int err = mw_machine_new(&machine);

    if (err == 0) {
        err = mw_machine_read_memory(machine, &memory);
        mw_machine_free(&machine);
    }
    if (err != 0) {
        return raise_os_error(err, "libproc2 cannot read /proc/meminfo");
    }
    return Py_BuildValue("{sLsL}", "total_bytes", (long long)memory.total_bytes,
                         "available_bytes", (long long)memory.available_bytes);
}

static int
read_cpu(void *self, struct mw_cpu *out)
{
    return mw_machine_read_cpu(self, out);
}

static void
free_reader(PyObject *capsule)
{
    struct mw_cpu_reader *reader = PyCapsule_GetPointer(capsule, MW_CPU_CAPSULE);
    struct mw_machine *machine = reader->self;

    mw_machine_free(&machine);
    PyMem_Free(reader);
}

PyDoc_STRVAR(procps_cpu_reader_doc,
             "cpu_reader($module, /)\n--\n\n"
             "A reader of /proc/stat for memwatch._core.set_cpu_reader(). OSError.");

static PyObject *
procps_cpu_reader(PyObject *Py_UNUSED(module), PyObject *Py_UNUSED(ignored))
{
    struct mw_cpu_reader *reader;
    struct mw_cpu first;
    struct mw_machine *machine;
    PyObject *capsule;
    int err = mw_machine_new(&machine);

    if (err == 0) {
        /* libproc2 allocates at the first reading: not in the sampler's thread. */
        err = mw_machine_read_cpu(machine, &first);
        if (err != 0) {
            mw_machine_free(&machine);
        }
    }
    if (err != 0) {
        return raise_os_error(err, "libproc2 cannot read /proc/stat");
    }
    reader = PyMem_Malloc(sizeof *reader);
    if (reader == NULL) {
        mw_machine_free(&machine);
        return PyErr_NoMemory();
    }
    *reader = (struct mw_cpu_reader){.read = read_cpu, .self = machine};
    capsule = PyCapsule_New(reader, MW_CPU_CAPSULE, free_reader);
    if (capsule == NULL) {
        mw_machine_free(&machine);
        PyMem_Free(reader);
    }
    return capsule;
}

/* ---- the module ---- */

static PyMethodDef procps_methods[] = {
    {"start_children", procps_start_children, METH_NOARGS, procps_start_children_doc},
    {"count_started_children", procps_count_started_children, METH_VARARGS,
     procps_count_started_children_doc},
    {"machine_memory", procps_machine_memory, METH_NOARGS, procps_machine_memory_doc},
    {"cpu_reader", procps_cpu_reader, METH_NOARGS, procps_cpu_reader_doc},
    {NULL, NULL, 0, NULL},
};

static int
procps_exec(PyObject *module)
{
    return add_type(module, &window_spec, NULL);
}

static void
procps_free(void *module)
{
    if (atomic_exchange(&get_state((PyObject *)module)->acquired, false)) {
        mw_children_release();
    }
}

static PyModuleDef_Slot procps_slots[] = {
    {Py_mod_exec, procps_exec},
    LAST_MODULE_SLOTS,
};

PyDoc_STRVAR(procps_doc, "Child processes and the machine, read by libproc2.");

static struct PyModuleDef procps_definition = {
    PyModuleDef_HEAD_INIT,       .m_name = "memwatch._procps",
    .m_doc = procps_doc,         .m_size = sizeof(struct procps_state),
    .m_methods = procps_methods, .m_slots = procps_slots,
    .m_free = procps_free,
};

PyMODINIT_FUNC
PyInit__procps(void)
{
    return PyModuleDef_Init(&procps_definition);
}
