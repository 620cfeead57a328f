/* memwatch._core.Process. */

#include "python/core.h"

#include <limits.h>

#include "linux/proc.h"

typedef struct {
    PyObject_HEAD
    struct mw_external_sampler external;
    PyObject *module;
} ProcessObject;

static PyObject *
process_new(PyTypeObject *type, PyObject *args, PyObject *kwargs)
{
    static char *names[] = {"pid", NULL};
    PyObject *module = PyType_GetModule(type);
    struct mw_sampler *own;
    ProcessObject *self;
    int pid;
    int err;

    if (module == NULL ||
        !PyArg_ParseTupleAndKeywords(args, kwargs, "i:Process", names, &pid)) {
        return NULL;
    }
    if (pid <= 0) {
        PyErr_SetString(PyExc_ValueError, "expected a positive pid");
        return NULL;
    }
    own = get_sampler(get_state(module));
    if (own == NULL) {
        return NULL;
    }
    self = PyObject_New(ProcessObject, type);
    if (self == NULL) {
        return NULL;
    }
    self->module = Py_NewRef(module);
    err = mw_external_sampler_open(&self->external, own, pid);
    if (err != 0) {
        Py_DECREF(self);
        return raise_os_error(err, "cannot read the process's memory in /proc");
    }
    return (PyObject *)self;
}

static void
process_dealloc(PyObject *op)
{
    ProcessObject *self = (ProcessObject *)op;
    PyTypeObject *type = Py_TYPE(op);

    mw_external_sampler_close(&self->external);
    Py_DECREF(self->module);
    PyObject_Free(op);
    Py_DECREF(type);
}

PyDoc_STRVAR(process_window_doc,
             "window($self, /)\n--\n\n"
             "An open window on the process. OSError: it has ended.");

static PyObject *
process_window(PyObject *op, PyObject *Py_UNUSED(ignored))
{
    ProcessObject *self = (ProcessObject *)op;

    return core_window_open(get_state(self->module)->window_type,
                            self->external.sampler, op, NULL);
}

PyDoc_STRVAR(process_memory_doc,
             "memory($self, /)\n--\n\n"
             "Its memory now, in bytes, from one read of its status. OSError.");

static PyObject *
process_memory(PyObject *op, PyObject *Py_UNUSED(ignored))
{
    struct mw_memory memory;
    int err = mw_sampler_read_memory(((ProcessObject *)op)->external.sampler, &memory);

    if (err != 0) {
        return raise_os_error(err, "cannot read the process's status in /proc");
    }
    return memory_as_dict(&memory, "hwm_bytes", memory.hwm_bytes);
}

static PyMethodDef process_methods[] = {
    {"window", process_window, METH_NOARGS, process_window_doc},
    {"memory", process_memory, METH_NOARGS, process_memory_doc},
    {NULL, NULL, 0, NULL},
};

PyDoc_STRVAR(
    process_doc,
    "Process(pid)\n--\n\n"
    "Another process. Every window resets its high-water mark, so nothing else must\n"
    "measure by it at the same time. OSError: no such process, or not readable.");

static PyType_Slot process_slots[] = {
    {Py_tp_doc, (void *)process_doc},
    {Py_tp_new, process_new},
    {Py_tp_dealloc, process_dealloc},
    {Py_tp_methods, process_methods},
    {0, NULL},
};

PyType_Spec core_process_spec = {
    .name = "memwatch._core.Process",
    .basicsize = sizeof(ProcessObject),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_IMMUTABLETYPE,
    .slots = process_slots,
};
