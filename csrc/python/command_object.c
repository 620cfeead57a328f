/* memwatch._core.Command. */

#include "python/core.h"

#include <stdlib.h>

#include "command/command.h"

typedef struct {
    PyObject_HEAD
    struct mw_command *command;
} CommandObject;

/* The words of `given`, encoded as file names are, each a bytes object in *kept. NULL
 * with an exception set. */
static const char **
take_words(PyObject *given, PyObject **kept)
{
    PyObject *words = PySequence_List(given);
    Py_ssize_t count = words == NULL ? -1 : PyList_Size(words);
    const char **argv;

    *kept = words;
    if (count < 0) {
        return NULL;
    }
    if (count == 0) {
        PyErr_SetString(PyExc_ValueError, "expected a command");
        return NULL;
    }
    argv = (const char **)calloc((size_t)count + 1, sizeof *argv);
    if (argv == NULL) {
        PyErr_NoMemory();
        return NULL;
    }
    for (Py_ssize_t i = 0; i < count; i++) {
        PyObject *word = NULL;

        if (!PyUnicode_FSConverter(PyList_GetItem(words, i), (void *)&word) ||
            PyList_SetItem(words, i, word) < 0) {
            free((void *)argv);
            return NULL;
        }
        argv[i] = PyBytes_AsString(word);
    }
    return argv;
}

static PyObject *
command_new(PyTypeObject *type, PyObject *args, PyObject *kwargs)
{
    static char *names[] = {"argv", "trace", "streams", NULL};
    CommandObject *self = NULL;
    PyObject *given;
    PyObject *kept = NULL;
    const char **argv;
    int streams[] = {0, 1, 2};
    int trace = 1;

    if (!PyArg_ParseTupleAndKeywords(args, kwargs, "O|p(iii):Command", names, &given,
                                     &trace, &streams[0], &streams[1], &streams[2])) {
        return NULL;
    }
    argv = take_words(given, &kept);
    if (argv != NULL) {
        self = PyObject_New(CommandObject, type);
    }
    if (self != NULL) {
        int err;

        self->command = NULL;
        err = mw_command_start(&self->command, argv, streams, trace != 0);
        if (err != 0) {
            Py_DECREF(self);
            self = NULL;
            raise_os_error(err, "cannot start a process");
        }
    }
    free((void *)argv);
    Py_XDECREF(kept);
    return (PyObject *)self;
}

static void
command_dealloc(PyObject *op)
{
    CommandObject *self = (CommandObject *)op;
    PyTypeObject *type = Py_TYPE(op);
    PyThreadState *thread = PyEval_SaveThread();

    mw_command_free(&self->command);
    PyEval_RestoreThread(thread);
    PyObject_Free(op);
    Py_DECREF(type);
}

static PyObject *
figures_of(const struct mw_command_result *result)
{
    const struct int_item items[] = {
        {"exec_errno", result->exec_errno},
        {"wait_status", result->wait_status},
        {"duration_ns", result->duration_ns},
        {"user_ns", result->user_ns},
        {"system_ns", result->system_ns},
        {"peak_bytes", result->peak_bytes},
        {"end_bytes", result->end_bytes},
        {"largest_peak_bytes", result->largest_peak_bytes},
        {"largest_pid", result->largest_pid},
        {"started", result->started},
        {"alive", result->alive},
        {"unknown_bytes", result->unknown_bytes},
    };
    PyObject *figures = INTS_AS_DICT(items);

    if (figures != NULL &&
        set_item(figures, "largest_name", text_or_none(result->largest_name)) < 0) {
        Py_CLEAR(figures);
    }
    return figures;
}

PyDoc_STRVAR(command_run_doc,
             "run($self, /)\n--\n\n"
             "Let the command run, and return its figures when it has ended.\n\n"
             "Only once, and one command at a time in a process: OSError.");

static PyObject *
command_run(PyObject *op, PyObject *Py_UNUSED(ignored))
{
    CommandObject *self = (CommandObject *)op;
    struct mw_command_result result;
    PyThreadState *thread = PyEval_SaveThread();
    int err = mw_command_run(self->command, &result);

    PyEval_RestoreThread(thread);
    if (err != 0) {
        return raise_os_error(err, "cannot run the command");
    }
    return figures_of(&result);
}

PyDoc_STRVAR(command_pid_doc, "The process that waits, and then is the command.");

static PyObject *
command_pid(PyObject *op, void *Py_UNUSED(closure))
{
    return PyLong_FromLong(mw_command_pid(((CommandObject *)op)->command));
}

PyDoc_STRVAR(command_trace_error_doc,
             "Why it could not be traced; None: it is, or `trace` is False.");

static PyObject *
command_trace_error(PyObject *op, void *Py_UNUSED(closure))
{
    int reason = mw_command_trace_errno(((CommandObject *)op)->command);

    return text_or_none(reason == 0 ? NULL : error_text(reason));
}

static PyMethodDef command_methods[] = {
    {"run", command_run, METH_NOARGS, command_run_doc},
    {NULL, NULL, 0, NULL},
};

static PyGetSetDef command_getset[] = {
    {"pid", command_pid, NULL, command_pid_doc, NULL},
    {"trace_error", command_trace_error, NULL, command_trace_error_doc, NULL},
    {NULL, NULL, NULL, NULL, NULL},
};

PyDoc_STRVAR(
    command_doc,
    "Command(argv, trace=True, streams=(0, 1, 2))\n--\n\n"
    "A process that waits to become the command `argv`; without run() it ends. The\n"
    "descriptors `streams`, each above 2 or in its place, are its standard streams.\n"
    "With `trace` each of its processes is stopped at its exit, by ptrace, and its\n"
    "high-water mark is read there. OSError: no process can be started.");

static PyType_Slot command_slots[] = {
    {Py_tp_doc, (void *)command_doc}, {Py_tp_new, command_new},
    {Py_tp_dealloc, command_dealloc}, {Py_tp_methods, command_methods},
    {Py_tp_getset, command_getset},   {0, NULL},
};

PyType_Spec core_command_spec = {
    .name = "memwatch._core.Command",
    .basicsize = sizeof(CommandObject),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_IMMUTABLETYPE,
    .slots = command_slots,
};
