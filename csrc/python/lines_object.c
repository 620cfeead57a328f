/* memwatch._core.Lines: what each line of a piece of code costs.
 *
 * The code calls enter(run, line) before each line, begin() and end(run) around each
 * run. So a window is open while a line runs. Runs nest, when a function calls itself,
 * or overlap, when coroutines take turns; each has its own window. Only the thread that
 * created the object is measured. */

#include "python/core.h"

#include <stdlib.h>

/* The figures of a line, over all its runs. */
struct line_row {
    int64_t count;
    int64_t used_bytes;   /* sum */
    int64_t peaked_bytes; /* highest */
    int64_t error_bytes;  /* highest */
    int64_t duration_ns;  /* sum */
    bool absent;          /* one of the runs has no figures */
};

/* A run of the code. */
struct line_run {
    struct line_run *below; /* that began before it */
    int64_t number;
    int64_t line; /* whose window is open; 0: none */
    struct mw_watch watch;
};

typedef struct {
    PyObject_HEAD
    struct mw_sampler *sampler; /* belongs to the module */
    PyObject *module;
    unsigned long thread;
    int64_t first; /* the line of rows[0] */
    int64_t count; /* of rows */
    struct line_row *rows;
    struct line_run *newest;
    int64_t begun; /* runs so far */
} LinesObject;

/* Where the pointer to the run is; NULL: it has ended, or another thread asks. */
static struct line_run **
find_run(LinesObject *self, int64_t number)
{
    struct line_run **place = &self->newest;

    if (self->thread != PyThread_get_thread_ident()) {
        return NULL;
    }
    while (*place != NULL && (*place)->number != number) {
        place = &(*place)->below;
    }
    return *place == NULL ? NULL : place;
}

static struct line_row *
row_of(const LinesObject *self, int64_t line)
{
    int64_t place = line - self->first;

    return place >= 0 && place < self->count ? &self->rows[place] : NULL;
}

static void
open_window(const LinesObject *self, struct line_run *run)
{
    /* An error is seen when it closes: the code is the user's and goes on. */
    (void)mw_sampler_open(self->sampler, &run->watch, NULL);
}

static void
close_window(const LinesObject *self, struct line_run *run)
{
    struct line_row *row = row_of(self, run->line);
    struct mw_result result;

    if (row == NULL) {
        mw_sampler_cancel(self->sampler, &run->watch);
        return;
    }
    if (mw_sampler_close(self->sampler, &run->watch, NULL, &result) != 0 ||
        result.used_bytes == MW_ABSENT || result.peaked_bytes == MW_ABSENT) {
        row->absent = true;
        return;
    }
    row->used_bytes += result.used_bytes;
    row->duration_ns += result.duration_ns == MW_ABSENT ? 0 : result.duration_ns;
    if (result.peaked_bytes > row->peaked_bytes) {
        row->peaked_bytes = result.peaked_bytes;
    }
    if (result.peak_error_bytes > row->error_bytes) {
        row->error_bytes = result.peak_error_bytes;
    }
}

static int
begin_run(LinesObject *self, int64_t number, int64_t line)
{
    struct line_run *run = calloc(1, sizeof *run);

    if (run == NULL) {
        PyErr_NoMemory();
        return -1;
    }
    run->number = number;
    run->below = self->newest;
    self->newest = run;
    if (line != 0) {
        run->line = line;
        open_window(self, run);
    }
    return 0;
}

static void
end_run(const LinesObject *self, struct line_run **place)
{
    struct line_run *run = *place;

    if (run->line != 0) {
        close_window(self, run);
    }
    *place = run->below;
    free(run);
}

/* ---- methods ---- */

PyDoc_STRVAR(lines_begin_doc,
             "begin($self, /)\n--\n\nA run of the code begins. Returns its number.");

static PyObject *
lines_begin(PyObject *op, PyObject *Py_UNUSED(unused))
{
    LinesObject *self = (LinesObject *)op;
    int64_t number = ++self->begun;

    if (self->thread == PyThread_get_thread_ident() && begin_run(self, number, 0) < 0) {
        return NULL;
    }
    return PyLong_FromLongLong(number);
}

PyDoc_STRVAR(
    lines_enter_doc,
    "enter($self, run, line, /)\n--\n\n"
    "In that run the line begins, and the one before it ends. A negative line\n"
    "goes on: it does not count as another run of it.");

static PyObject *
lines_enter(PyObject *op, PyObject *const *args, Py_ssize_t count)
{
    LinesObject *self = (LinesObject *)op;
    long long number = count == 2 ? PyLong_AsLongLong(args[0]) : -1;
    long long line = count == 2 ? PyLong_AsLongLong(args[1]) : 0;
    bool counted = line > 0;
    struct line_run **place;
    struct line_row *row;

    if (number < 0 || line == 0 || PyErr_Occurred()) {
        if (!PyErr_Occurred()) {
            PyErr_SetString(PyExc_TypeError, "enter(): expected a run and a line");
        }
        return NULL;
    }
    line = counted ? line : -line;
    place = find_run(self, number);
    if (place == NULL) {
        Py_RETURN_NONE;
    }
    if ((*place)->line != 0) {
        close_window(self, *place);
    }
    (*place)->line = line;
    row = row_of(self, line);
    if (row != NULL && counted) {
        row->count++;
    }
    open_window(self, *place);
    Py_RETURN_NONE;
}

PyDoc_STRVAR(lines_end_doc, "end($self, run, /)\n--\n\nThe run ends, if it has not.");

static int
end_by_number(LinesObject *self, PyObject *run)
{
    long long number = PyLong_AsLongLong(run);
    struct line_run **place;

    if (number == -1 && PyErr_Occurred()) {
        return -1;
    }
    place = find_run(self, number);
    if (place != NULL) {
        end_run(self, place);
    }
    return 0;
}

static PyObject *
lines_end(PyObject *op, PyObject *run)
{
    return end_by_number((LinesObject *)op, run) < 0 ? NULL : Py_NewRef(Py_None);
}

PyDoc_STRVAR(lines_pause_doc,
             "pause($self, run, value, /)\n--\n\n"
             "The code yields: end() until it goes on. Returns `value`.");

static PyObject *
lines_pause(PyObject *op, PyObject *args)
{
    PyObject *run;
    PyObject *value;

    if (!PyArg_ParseTuple(args, "OO:pause", &run, &value) ||
        end_by_number((LinesObject *)op, run) < 0) {
        return NULL;
    }
    return Py_NewRef(value);
}

PyDoc_STRVAR(lines_resume_doc,
             "resume($self, run, line, value, /)\n--\n\n"
             "The code that yielded in `line` goes on. Returns `value`.");

static PyObject *
lines_resume(PyObject *op, PyObject *args)
{
    LinesObject *self = (LinesObject *)op;
    PyObject *value;
    long long number;
    long long line;

    if (!PyArg_ParseTuple(args, "LLO:resume", &number, &line, &value)) {
        return NULL;
    }
    if (self->thread == PyThread_get_thread_ident() &&
        begin_run(self, number, line) < 0) {
        return NULL;
    }
    return Py_NewRef(value);
}

PyDoc_STRVAR(
    lines_rows_doc,
    "rows($self, /)\n--\n\n"
    "A list of (line, count, used_bytes, peaked_bytes, error_bytes, duration_ns) for\n"
    "each line that has run: sums, and the highest of peaked_bytes and error_bytes. A\n"
    "line that could not be measured has None.");

static PyObject *
lines_rows(PyObject *op, PyObject *Py_UNUSED(unused))
{
    LinesObject *self = (LinesObject *)op;
    PyObject *list = PyList_New(0);

    for (int64_t i = 0; list != NULL && i < self->count; i++) {
        const struct line_row *row = &self->rows[i];
        int64_t line = self->first + i;
        int64_t used = row->absent ? MW_ABSENT : row->used_bytes;
        int64_t peaked = row->absent ? MW_ABSENT : row->peaked_bytes;
        int64_t error = row->absent ? MW_ABSENT : row->error_bytes;
        PyObject *item;

        if (row->count == 0) {
            continue;
        }
        item = Py_BuildValue("LLNNNL", (long long)line, (long long)row->count,
                             int_or_none(used), int_or_none(peaked), int_or_none(error),
                             (long long)row->duration_ns);
        if (item == NULL || PyList_Append(list, item) < 0) {
            Py_CLEAR(list);
        }
        Py_XDECREF(item);
    }
    return list;
}

/* ---- the type ---- */

static PyObject *
lines_new(PyTypeObject *type, PyObject *args, PyObject *kwargs)
{
    static char *names[] = {"first", "last", NULL};
    PyObject *module = PyType_GetModule(type);
    struct mw_sampler *sampler;
    LinesObject *self;
    long long first;
    long long last;

    if (module == NULL ||
        !PyArg_ParseTupleAndKeywords(args, kwargs, "LL:Lines", names, &first, &last)) {
        return NULL;
    }
    if (first < 1 || last < first || last - first > 10000000) {
        PyErr_Format(PyExc_ValueError, "Lines(): expected lines, got %lld to %lld",
                     first, last);
        return NULL;
    }
    sampler = get_sampler(get_state(module));
    self = sampler == NULL ? NULL : PyObject_New(LinesObject, type);
    if (self == NULL) {
        return NULL;
    }
    self->sampler = sampler;
    self->module = Py_NewRef(module);
    self->thread = PyThread_get_thread_ident();
    self->first = first;
    self->count = last - first + 1;
    self->newest = NULL;
    self->begun = 0;
    self->rows = calloc((size_t)self->count, sizeof *self->rows);
    if (self->rows == NULL) {
        Py_DECREF(self);
        return PyErr_NoMemory();
    }
    return (PyObject *)self;
}

static void
lines_dealloc(PyObject *op)
{
    LinesObject *self = (LinesObject *)op;
    PyTypeObject *type = Py_TYPE(op);

    while (self->newest != NULL) {
        struct line_run *run = self->newest;

        self->newest = run->below;
        mw_sampler_cancel(self->sampler, &run->watch);
        free(run);
    }
    free(self->rows);
    Py_DECREF(self->module);
    PyObject_Free(op);
    Py_DECREF(type);
}

static PyMethodDef lines_methods[] = {
    {"begin", lines_begin, METH_NOARGS, lines_begin_doc},
    {"enter", (PyCFunction)(void (*)(void))lines_enter, METH_FASTCALL, lines_enter_doc},
    {"end", lines_end, METH_O, lines_end_doc},
    {"pause", lines_pause, METH_VARARGS, lines_pause_doc},
    {"resume", lines_resume, METH_VARARGS, lines_resume_doc},
    {"rows", lines_rows, METH_NOARGS, lines_rows_doc},
    {NULL, NULL, 0, NULL},
};

PyDoc_STRVAR(
    lines_doc,
    "Lines(first, last)\n--\n\n"
    "What each of the lines from `first` to `last` costs. OSError: /proc cannot\n"
    "be read.");

static PyType_Slot lines_slots[] = {
    {Py_tp_doc, (void *)lines_doc},
    {Py_tp_new, lines_new},
    {Py_tp_dealloc, lines_dealloc},
    {Py_tp_methods, lines_methods},
    {0, NULL},
};

PyType_Spec core_lines_spec = {
    .name = "memwatch._core.Lines",
    .basicsize = sizeof(LinesObject),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_IMMUTABLETYPE,
    .slots = lines_slots,
};
