/* memwatch._core.Window. */

#include "python/core.h"

#include <errno.h>
#include <string.h>

#include "base/date.h"

typedef struct {
    PyObject_HEAD
    struct mw_sampler *sampler; /* belongs to the owner */
    PyObject *owner;            /* the module, or a Process */
    struct mw_watch watch;
    int64_t statement; /* the line where the running statement begins */
    int line_events;   /* of that statement; see LINE_EVENTS_MOST */
    PyObject *code;    /* whose lines are followed; NULL: none */
} WindowObject;

/* Lines of a statement that are followed: a loop that runs more has the line where it
 * begins, and from then on costs nothing. */
enum { LINE_EVENTS_MOST = 10000 };

PyObject *
core_window_open(PyTypeObject *type, struct mw_sampler *sampler, PyObject *owner,
                 const struct mw_blackbox_title *title)
{
    WindowObject *self = PyObject_New(WindowObject, type);
    int err;

    if (self == NULL) {
        return NULL;
    }
    self->sampler = sampler;
    self->owner = Py_NewRef(owner);
    self->statement = MW_ABSENT;
    self->line_events = 0;
    self->code = NULL;
    err = mw_sampler_open(sampler, &self->watch, title);
    if (err != 0) {
        Py_DECREF(self);
        return raise_os_error(err, "cannot open a window on the process in /proc");
    }
    return (PyObject *)self;
}

static PyObject *
window_new(PyTypeObject *type, PyObject *args, PyObject *kwargs)
{
    static char *names[] = {"label", "execution_count", "cell_id", "source", NULL};
    PyObject *module = PyType_GetModule(type);
    PyObject *count = Py_None;
    PyObject *label = Py_None;
    PyObject *cell_id = Py_None;
    PyObject *source = Py_None;
    struct mw_blackbox_title title = {.execution_count = MW_ABSENT};
    struct mw_sampler *sampler;

    if (module == NULL ||
        !PyArg_ParseTupleAndKeywords(args, kwargs, "|OOOO:Window", names, &label,
                                     &count, &cell_id, &source) ||
        take_int_or_none(count, &title.execution_count) < 0) {
        return NULL;
    }
    put_text_of(title.label, sizeof title.label, label);
    put_text_of(title.cell_id, sizeof title.cell_id, cell_id);
    put_text_of(title.source, sizeof title.source, source);
    sampler = get_sampler(get_state(module));
    return sampler == NULL ? NULL : core_window_open(type, sampler, module, &title);
}

static void
window_dealloc(PyObject *op)
{
    WindowObject *self = (WindowObject *)op;
    PyTypeObject *type = Py_TYPE(op);

    mw_sampler_cancel(self->sampler, &self->watch);
    Py_XDECREF(self->code);
    Py_DECREF(self->owner);
    PyObject_Free(op);
    Py_DECREF(type);
}

PyObject *
core_figure_names(const struct mw_figure *figures, Py_ssize_t count)
{
    PyObject *names = PyTuple_New(count);

    for (Py_ssize_t i = 0; names != NULL && i < count; i++) {
        PyObject *name = PyUnicode_InternFromString(figures[i].name);

        if (name == NULL) {
            Py_CLEAR(names);
        }
        else {
            PyTuple_SetItem(names, i, name);
        }
    }
    return names;
}

static PyObject *
result_as_dict(const WindowObject *self, const struct mw_result *result)
{
    struct core_state *state = PyType_GetModuleState(Py_TYPE(self));
    char started_at[MW_DATE_BYTES];
    PyObject *dict = state == NULL ? NULL : PyDict_New();

    mw_date_format(self->watch.t_real_ns, started_at);
    for (Py_ssize_t i = 0; dict != NULL && i < MW_RESULT_FIGURE_COUNT; i++) {
        PyObject *number = int_or_none(mw_result_get(result, (int)i));

        if (number == NULL ||
            PyDict_SetItem(dict, PyTuple_GetItem(state->figure_names, i), number) < 0) {
            Py_CLEAR(dict);
        }
        Py_XDECREF(number);
    }
    if (dict != NULL && (set_item(dict, "peak_method",
                                  text_or_none(mw_result_peak_method(result))) < 0 ||
                         set_item(dict, "started_at", text_or_none(started_at)) < 0)) {
        Py_CLEAR(dict);
    }
    return dict;
}

/* The return value of a closed window: figures and timeline; None: it was not open. */
static PyObject *
result_as_tuple(WindowObject *self, int err, const struct mw_result *result)
{
    const struct mw_timeline *timeline = &self->watch.timeline;
    Py_ssize_t length = timeline->count * (Py_ssize_t)sizeof(int64_t);
    PyObject *dict;

    if (err == -ESTALE) {
        Py_RETURN_NONE;
    }
    if (err != 0) {
        return raise_os_error(err, "cannot close a window on the process in /proc");
    }
    dict = result_as_dict(self, result);
    if (dict == NULL) {
        return NULL;
    }
    return Py_BuildValue("(Ny#y#)", dict, (const char *)timeline->t_ns, length,
                         (const char *)timeline->rss_bytes, length);
}

PyDoc_STRVAR(
    window_close_doc,
    "close($self, status=None, previous_rss_end_bytes=None, /)\n--\n\n"
    "Close the window; return its figures by CellReport's names, and its timeline as\n"
    "two series, time and RSS: bytes of native 64-bit integers. For the black box:\n"
    "`status` ('ok', 'error', 'interrupted' or None) and the RSS at the end of the\n"
    "previous cell. None: it is closed already, or the parent process opened it\n"
    "before a fork(). OSError: /proc cannot be read.");

static PyObject *
window_close(PyObject *op, PyObject *args)
{
    WindowObject *self = (WindowObject *)op;
    struct mw_ending ending = {MW_BLACKBOX_CANCELLED, MW_ABSENT};
    const char *status = NULL;
    PyObject *previous_end = Py_None;
    struct mw_result result;
    int err;

    if (!PyArg_ParseTuple(args, "|zO:close", &status, &previous_end) ||
        take_int_or_none(previous_end, &ending.previous_rss_end_bytes) < 0) {
        return NULL;
    }
    for (int i = MW_BLACKBOX_OK; status != NULL && i <= MW_BLACKBOX_INTERRUPTED; i++) {
        if (strcmp(status, mw_blackbox_status_name(i)) == 0) {
            ending.status = (enum mw_blackbox_status)i;
        }
    }
    err = mw_sampler_close(self->sampler, &self->watch, &ending, &result);
    return result_as_tuple(self, err, &result);
}

PyDoc_STRVAR(
    window_close_at_last_sample_doc,
    "close_at_last_sample($self, /)\n--\n\n"
    "As close(), with the figures of the last sample: for a process that has ended.");

static PyObject *
window_close_at_last_sample(PyObject *op, PyObject *Py_UNUSED(ignored))
{
    WindowObject *self = (WindowObject *)op;
    struct mw_result result;
    int err = mw_sampler_close_at_last_sample(self->sampler, &self->watch, &result);

    return result_as_tuple(self, err, &result);
}

PyDoc_STRVAR(window_cancel_doc,
             "cancel($self, /)\n--\n\nClose the window without a result.");

static PyObject *
window_cancel(PyObject *op, PyObject *Py_UNUSED(ignored))
{
    WindowObject *self = (WindowObject *)op;

    mw_sampler_cancel(self->sampler, &self->watch);
    Py_RETURN_NONE;
}

static PyObject *
window_thread_error(PyObject *op, void *Py_UNUSED(closure))
{
    int err = ((WindowObject *)op)->watch.thread_errno;

    if (err == 0) {
        Py_RETURN_NONE;
    }
    return PyUnicode_FromFormat("pthread_create: %s", error_text(err));
}

PyDoc_STRVAR(
    window_set_line_doc,
    "set_line($self, line, /)\n--\n\n"
    "Record in the black box that the cell is running this line, from 1, where\n"
    "a statement begins.");

static PyObject *
window_set_line(PyObject *op, PyObject *line)
{
    WindowObject *self = (WindowObject *)op;
    long long number = PyLong_AsLongLong(line);

    if (number == -1 && PyErr_Occurred()) {
        return NULL;
    }
    self->statement = number;
    self->line_events = 0;
    mw_sampler_set_line(self->sampler, &self->watch, number);
    Py_RETURN_NONE;
}

PyDoc_STRVAR(window_follow_doc,
             "follow($self, code, /)\n--\n\n"
             "Take line_event() for this code only: another cell may run meanwhile.");

static PyObject *
window_follow(PyObject *op, PyObject *code)
{
    WindowObject *self = (WindowObject *)op;
    PyObject *old = self->code;

    self->code = Py_NewRef(code);
    Py_XDECREF(old);
    Py_RETURN_NONE;
}

PyDoc_STRVAR(
    window_line_event_doc,
    "line_event($self, code, line, /)\n--\n\n"
    "The callback for sys.monitoring: as set_line(), but of a line inside the\n"
    "statement. After 10,000 events it returns sys.monitoring.DISABLE, and the\n"
    "line is that of the statement.");

static PyObject *
disable(void)
{
    PyObject *monitoring = PySys_GetObject("monitoring"); /* borrowed */

    if (monitoring == NULL) {
        Py_RETURN_NONE;
    }
    return PyObject_GetAttrString(monitoring, "DISABLE");
}

static PyObject *
window_line_event(PyObject *op, PyObject *const *args, Py_ssize_t count)
{
    WindowObject *self = (WindowObject *)op;
    long long line = count == 2 ? PyLong_AsLongLong(args[1]) : -1;

    if (line == -1) {
        if (!PyErr_Occurred()) {
            PyErr_SetString(PyExc_TypeError,
                            "line_event(): expected a code and a line");
        }
        return NULL;
    }
    if (self->code != args[0]) {
        Py_RETURN_NONE;
    }
    if (self->line_events > LINE_EVENTS_MOST) {
        return disable();
    }
    if (self->line_events++ == LINE_EVENTS_MOST) {
        line = self->statement;
    }
    mw_sampler_set_line(self->sampler, &self->watch, line);
    Py_RETURN_NONE;
}

static PyGetSetDef window_attributes[] = {
    {"thread_error", window_thread_error, NULL,
     "Why the sampler's thread could not be created: then the timeline has only a\n"
     "start and an end. None: there is a thread.",
     NULL},
    {NULL, NULL, NULL, NULL, NULL},
};

static PyMethodDef window_methods[] = {
    {"close", window_close, METH_VARARGS, window_close_doc},
    {"close_at_last_sample", window_close_at_last_sample, METH_NOARGS,
     window_close_at_last_sample_doc},
    {"cancel", window_cancel, METH_NOARGS, window_cancel_doc},
    {"set_line", window_set_line, METH_O, window_set_line_doc},
    {"follow", window_follow, METH_O, window_follow_doc},
    {"line_event", (PyCFunction)(void (*)(void))window_line_event, METH_FASTCALL,
     window_line_event_doc},
    {NULL, NULL, 0, NULL},
};

PyDoc_STRVAR(
    window_doc,
    "Window(label=None, execution_count=None, cell_id=None, source=None)\n--\n\n"
    "An open window on this process; the arguments are for the black box. OSError:\n"
    "/proc cannot be read.");

static PyType_Slot window_slots[] = {
    {Py_tp_doc, (void *)window_doc},   {Py_tp_new, window_new},
    {Py_tp_dealloc, window_dealloc},   {Py_tp_methods, window_methods},
    {Py_tp_getset, window_attributes}, {0, NULL},
};

PyType_Spec core_window_spec = {
    .name = "memwatch._core.Window",
    .basicsize = sizeof(WindowObject),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_IMMUTABLETYPE,
    .slots = window_slots,
};
