/* memwatch._children: windows on the children of the interpreter's own process. */

#include "support_module.h"

#include <errno.h>
#include <stdatomic.h>

#include "mw_family.h"

struct children_state {
    atomic_bool
        acquired; /* a share in the family, which the module holds until its end;
                     sequentially consistent: threads may start() at once */
    PyTypeObject *window_type;
};

static struct children_state *
get_state(PyObject *module)
{
    return (struct children_state *)PyModule_GetState(module);
}

static PyObject *
raise_family_error(int err, bool no_thread)
{
    return raise_os_error(err, no_thread
                                   ? "the thread that reads the children cannot be "
                                     "created (pthread_create)"
                                   : "libproc2 cannot read the processes in /proc");
}

/* ---- Window ---- */

typedef struct {
    PyObject_HEAD
    PyObject *module; /* it holds the share */
    struct mw_family_watch watch;
} WindowObject;

static PyObject *
window_new(PyTypeObject *type, PyObject *args, PyObject *kwargs)
{
    PyObject *module = PyType_GetModule(type);
    WindowObject *self;
    int err;

    if (module == NULL) {
        return NULL;
    }
    if (PyTuple_Size(args) != 0 || (kwargs != NULL && PyDict_Size(kwargs) != 0)) {
        PyErr_SetString(PyExc_TypeError, "Window() takes no arguments");
        return NULL;
    }
    if (!atomic_load(&get_state(module)->acquired)) {
        PyErr_SetString(PyExc_RuntimeError, "memwatch._children.start() comes first");
        return NULL;
    }
    self = PyObject_New(WindowObject, type);
    if (self == NULL) {
        return NULL;
    }
    self->module = Py_NewRef(module);
    Py_BEGIN_ALLOW_THREADS;
    err = mw_family_open(&self->watch);
    Py_END_ALLOW_THREADS;
    if (err != 0) {
        PyObject *raised = raise_family_error(err, self->watch.no_thread);

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

    mw_family_cancel(&self->watch);
    Py_DECREF(self->module);
    PyObject_Free(op);
    Py_DECREF(type);
}

PyDoc_STRVAR(window_close_doc,
             "close($self, /)\n--\n\n"
             "End the window; return its figures by CellReport's names. Reads all\n"
             "processes once more, and the PSS of the children and of this process.\n"
             "Returns None where the window is closed already, or was opened by the\n"
             "process that this one was forked from. OSError.");

static PyObject *
window_close(PyObject *op, PyObject *Py_UNUSED(ignored))
{
    WindowObject *self = (WindowObject *)op;
    struct mw_family_result result;
    int err;

    Py_BEGIN_ALLOW_THREADS;
    err = mw_family_close(&self->watch, &result);
    Py_END_ALLOW_THREADS;
    if (err == -ESTALE) {
        Py_RETURN_NONE;
    }
    if (err != 0) {
        return raise_family_error(err, false);
    }
    const struct int_item items[] = {
        {"children_count", result.count},
        {"children_pss_bytes", result.pss_bytes},
        {"children_rss_bytes", result.rss_bytes},
        {"children_rss_peak_bytes", result.rss_peak_bytes},
        {"children_missed", result.missed},
        {"own_pss_bytes", result.own_pss_bytes},
    };
    return INTS_AS_DICT(items);
}

PyDoc_STRVAR(window_cancel_doc,
             "cancel($self, /)\n--\n\nEnd the window, tell nothing.");

static PyObject *
window_cancel(PyObject *op, PyObject *Py_UNUSED(ignored))
{
    mw_family_cancel(&((WindowObject *)op)->watch);
    Py_RETURN_NONE;
}

static PyMethodDef window_methods[] = {
    {"close", window_close, METH_NOARGS, window_close_doc},
    {"cancel", window_cancel, METH_NOARGS, window_cancel_doc},
    {NULL, NULL, 0, NULL},
};

PyDoc_STRVAR(window_doc,
             "Window()\n--\n\n"
             "A window on this process's children, open from now until close(),\n"
             "cancel() or its end of life. After start(). OSError.");

static PyType_Slot window_slots[] = {
    {Py_tp_doc, (void *)window_doc},
    {Py_tp_new, window_new},
    {Py_tp_dealloc, window_dealloc},
    {Py_tp_methods, window_methods},
    {0, NULL},
};

static PyType_Spec window_spec = {
    .name = "memwatch._children.Window",
    .basicsize = sizeof(WindowObject),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_IMMUTABLETYPE,
    .slots = window_slots,
};

/* ---- functions ---- */

PyDoc_STRVAR(
    children_start_doc,
    "start($module, /)\n--\n\n"
    "Start the thread that reads the processes and wait for its first reading.\n"
    "It is parked while no window is open, and ends with the interpreter.\n"
    "Twice is once; returns whether this was the first time. OSError.");

static PyObject *
children_start(PyObject *module, PyObject *Py_UNUSED(ignored))
{
    struct children_state *state = get_state(module);
    bool first = !atomic_load(&state->acquired);
    bool no_thread = false;
    int err = 0;

    if (first) {
        Py_BEGIN_ALLOW_THREADS;
        err = mw_family_acquire(&no_thread);
        if (err == 0 && atomic_exchange(&state->acquired, true)) {
            first = false; /* another thread was faster: one share is enough */
            mw_family_release();
        }
        Py_END_ALLOW_THREADS;
    }
    if (err != 0) {
        return raise_family_error(err, no_thread);
    }
    return PyBool_FromLong(first);
}

PyDoc_STRVAR(children_audit_doc,
             "audit($module, event, arguments, /)\n--\n\n"
             "For sys.addaudithook(): counts the children that are started.");

static PyObject *
children_audit(PyObject *Py_UNUSED(module), PyObject *args)
{
    static const struct {
        const char *event;
        enum mw_family_start how;
    } known[] = {
        {"subprocess.Popen", MW_FAMILY_POPEN}, {"os.fork", MW_FAMILY_FORK},
        {"os.forkpty", MW_FAMILY_FORK},        {"os.posix_spawn", MW_FAMILY_SPAWN},
        {"os.system", MW_FAMILY_SYSTEM},
    };
    PyObject *event = PyTuple_GetItem(args, 0);

    if (event == NULL) {
        return NULL;
    }
    for (size_t i = 0; i < sizeof known / sizeof *known; i++) {
        if (PyUnicode_Check(event) &&
            PyUnicode_CompareWithASCIIString(event, known[i].event) == 0) {
            mw_family_announce(known[i].how);
        }
    }
    Py_RETURN_NONE;
}

/* ---- the module ---- */

static PyMethodDef children_methods[] = {
    {"start", children_start, METH_NOARGS, children_start_doc},
    {"audit", children_audit, METH_VARARGS, children_audit_doc},
    {NULL, NULL, 0, NULL},
};

static int
children_exec(PyObject *module)
{
    struct children_state *state = get_state(module);

    state->window_type =
        (PyTypeObject *)PyType_FromModuleAndSpec(module, &window_spec, NULL);
    if (state->window_type == NULL) {
        return -1;
    }
    return PyModule_AddType(module, state->window_type);
}

static int
children_traverse(PyObject *module, visitproc visit, void *arg)
{
    Py_VISIT(get_state(module)->window_type);
    return 0;
}

static int
children_clear(PyObject *module)
{
    Py_CLEAR(get_state(module)->window_type);
    return 0;
}

static void
children_free(void *module)
{
    struct children_state *state = get_state((PyObject *)module);

    children_clear((PyObject *)module);
    if (atomic_exchange(&state->acquired, false)) {
        mw_family_release();
    }
}

static PyModuleDef_Slot children_slots[] = {
    {Py_mod_exec, children_exec},
    LAST_MODULE_SLOTS,
};

PyDoc_STRVAR(children_doc, "What the children of this process hold.");

static struct PyModuleDef children_definition = {
    PyModuleDef_HEAD_INIT,           .m_name = "memwatch._children",
    .m_doc = children_doc,           .m_size = sizeof(struct children_state),
    .m_methods = children_methods,   .m_slots = children_slots,
    .m_traverse = children_traverse, .m_clear = children_clear,
    .m_free = children_free,
};

PyMODINIT_FUNC
PyInit__children(void)
{
    return PyModuleDef_Init(&children_definition);
}
