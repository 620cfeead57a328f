/* memwatch._core: black boxes of any process, read. */

#include "python/core.h"

#include <errno.h>
#include <stdlib.h>

#include "blackbox/reader.h"

/* ---- a box as a dictionary ---- */

struct text_item {
    const char *key;
    const char *value;
};

static int
set_texts(PyObject *dict, const struct text_item *items, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        if (set_item(dict, items[i].key, text_or_none(items[i].value)) < 0) {
            return -1;
        }
    }
    return 0;
}

static PyObject *
cell_as_dict(const struct mw_blackbox_cell *cell)
{
    const struct int_item ints[] = {
        {"number", cell->number},
        {"t_mono_ns", cell->t_mono_ns},
        {"t_boot_ns", cell->t_boot_ns},
        {"t_real_ns", cell->t_real_ns},
        {"execution_count", cell->title.execution_count},
    };
    /* Known before the cell closes. */
    const struct int_item so_far[] = {
        {"rss_start_bytes", cell->rss_start_bytes},
        {"rss_peak_bytes", cell->rss_peak_bytes},
        {"line", cell->line},
    };
    const struct text_item texts[] = {
        {"status", mw_blackbox_status_name(cell->status)},
        {"label", cell->title.label},
        {"cell_id", cell->title.cell_id},
        {"source", cell->title.source},
        {"peak_method", mw_result_peak_method(&cell->result)},
    };
    PyObject *dict = INTS_AS_DICT(ints);

    for (int i = 0; dict != NULL && i < MW_RESULT_FIGURE_COUNT; i++) {
        if (set_item(dict, mw_result_figures[i].name,
                     int_or_none(mw_result_get(&cell->result, i))) < 0) {
            Py_CLEAR(dict);
        }
    }
    if (dict != NULL && (set_ints(dict, so_far, sizeof so_far / sizeof *so_far) < 0 ||
                         set_texts(dict, texts, sizeof texts / sizeof *texts) < 0)) {
        Py_CLEAR(dict);
    }
    return dict;
}

/* The newest open cell, or if none is open the newest one; -1: there are no cells. */
static int
find_current(const struct mw_blackbox_view *view)
{
    for (int i = view->cell_count - 1; i >= 0; i--) {
        if (view->cells[i].status == MW_BLACKBOX_OPEN) {
            return i;
        }
    }
    return view->cell_count - 1;
}

static PyObject *
cells_as_list(const struct mw_blackbox_view *view, bool current_only)
{
    PyObject *list = PyList_New(0);
    const int current = find_current(view);

    for (int i = 0; list != NULL && i < view->cell_count; i++) {
        if (current_only && i != current) {
            continue;
        }
        PyObject *cell = cell_as_dict(&view->cells[i]);

        if (cell == NULL || PyList_Append(list, cell) < 0) {
            Py_CLEAR(list);
        }
        Py_XDECREF(cell);
    }
    return list;
}

static PyObject *
view_as_dict(const struct mw_blackbox_view *view, bool current_only)
{
    const struct mw_blackbox_identity *who = &view->identity;
    const struct int_item ints[] = {
        {"pid", who->pid},
        {"start_ticks", who->start_ticks},
        {"pid_namespace", who->pid_namespace},
        {"time_namespace", who->time_namespace},
        {"parent_pid", who->parent_pid},
        {"session_id", who->session_id},
        {"uid", who->uid},
        {"t_mono_ns", who->t_mono_ns},
        {"t_real_ns", who->t_real_ns},
        {"limit_bytes", who->limit_bytes},
        {"oom_kills", who->oom_kills},
        {"lifetime_peak_bytes", view->progress.lifetime_peak_bytes},
        {"samples", view->progress.samples},
        {"opened", view->progress.opened},
        {"untold", view->progress.untold},
        {"boot_ahead_ns", view->progress.boot_ahead_ns},
        {"real_ahead_ns", view->progress.real_ahead_ns},
        {"t_ended_ns", view->progress.t_ended_ns},
    };
    const struct text_item texts[] = {
        {"boot_id", who->boot_id},     {"user", who->user},
        {"host", who->host},           {"limit_set_by", who->limit_set_by},
        {"kernel_id", who->kernel_id}, {"limit_group", who->limit_group},
        {"oom_file", who->oom_file},   {"notebook", who->notebook},
    };
    PyObject *dict = INTS_AS_DICT(ints);

    if (dict != NULL &&
        (set_texts(dict, texts, sizeof texts / sizeof *texts) < 0 ||
         set_item(dict, "cells", cells_as_list(view, current_only)) < 0)) {
        Py_CLEAR(dict);
    }
    return dict;
}

/* Buffers for one box. */
struct contents {
    struct mw_blackbox_view view;
    struct mw_blackbox_sample samples[MW_BLACKBOX_SAMPLES];
    int64_t series[MW_BLACKBOX_SAMPLES];
};

static PyObject *
series_as_bytes(struct contents *contents, size_t count, bool times)
{
    for (size_t i = 0; i < count; i++) {
        contents->series[i] =
            times ? contents->samples[i].t_mono_ns : contents->samples[i].rss_bytes;
    }
    return PyBytes_FromStringAndSize((const char *)contents->series,
                                     (Py_ssize_t)(count * sizeof *contents->series));
}

static PyObject *
contents_as_tuple(const struct mw_blackbox_reader *reader, int64_t next,
                  bool current_only, struct contents *contents)
{
    int64_t lost;
    size_t count = mw_blackbox_reader_samples(reader, &next, contents->samples, &lost);
    PyObject *times;
    PyObject *sizes;
    PyObject *dict;

    mw_blackbox_reader_view(reader, &contents->view);
    dict = view_as_dict(&contents->view, current_only);
    times = series_as_bytes(contents, count, true);
    sizes = series_as_bytes(contents, count, false);
    if (dict == NULL || times == NULL || sizes == NULL) {
        Py_XDECREF(dict);
        Py_XDECREF(times);
        Py_XDECREF(sizes);
        return NULL;
    }
    return Py_BuildValue("(NNN)", dict, times, sizes);
}

/* ---- functions ---- */

PyDoc_STRVAR(
    core_read_blackbox_doc,
    "read_blackbox($module, path, next_sample=0, current_only=False, /)\n--\n\n"
    "A black box: its fields by name, and its samples from that number on as two\n"
    "series, time and RSS: bytes of native 64-bit integers. `current_only`: of the\n"
    "cells only the newest open one, or the newest. BlackBoxError: not readable as a\n"
    "box. OSError.");

static PyObject *
core_read_blackbox(PyObject *module, PyObject *args)
{
    enum mw_blackbox_fault fault = MW_BLACKBOX_FINE;
    struct mw_blackbox_reader *reader;
    struct contents *contents;
    PyObject *path;
    PyObject *result = NULL;
    const char *file;
    long long next_sample = 0;
    int current_only = 0;
    int err;

    if (!PyArg_ParseTuple(args, "O&|Lp:read_blackbox", PyUnicode_FSConverter, &path,
                          &next_sample, &current_only)) {
        return NULL;
    }
    file = PyBytes_AsString(path);
    Py_BEGIN_ALLOW_THREADS; /* its file system may hang */
    err = mw_blackbox_reader_new(&reader, file, &fault);
    Py_END_ALLOW_THREADS;
    Py_DECREF(path);
    if (err == -EBADMSG) {
        PyErr_SetString(get_state(module)->blackbox_error,
                        mw_blackbox_describe_fault(fault));
        return NULL;
    }
    if (err != 0) {
        return raise_os_error(err, "cannot read the black box");
    }
    contents = malloc(sizeof *contents);
    if (contents != NULL) {
        result = contents_as_tuple(reader, next_sample, current_only != 0, contents);
    }
    else {
        PyErr_NoMemory();
    }
    free(contents);
    mw_blackbox_reader_free(&reader);
    return result;
}

static PyMethodDef blackbox_methods[] = {
    {"read_blackbox", core_read_blackbox, METH_VARARGS, core_read_blackbox_doc},
    {NULL, NULL, 0, NULL},
};

int
core_add_blackbox_functions(PyObject *module)
{
    struct core_state *state = get_state(module);

    state->blackbox_error = PyErr_NewExceptionWithDoc(
        "memwatch._core.BlackBoxError",
        "The file cannot be read as a black box; the message says why.",
        PyExc_ValueError, NULL);
    if (PyModule_AddObjectRef(module, "BlackBoxError", state->blackbox_error) < 0) {
        return -1;
    }
    return PyModule_AddFunctions(module, blackbox_methods);
}
