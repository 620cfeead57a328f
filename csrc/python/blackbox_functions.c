/* memwatch._boxes: black boxes, and what else can be known of processes by who is not
 * one of them. */

#include "support_module.h"

#include <errno.h>
#include <limits.h>
#include <stdlib.h>

#include "mw_cgroup.h"
#include "mw_place.h"
#include "mw_proc.h"
#include "mw_reader.h"

struct boxes_state {
    PyObject *error; /* BoxError */
};

static struct boxes_state *
get_state(PyObject *module)
{
    return (struct boxes_state *)PyModule_GetState(module);
}

/* ---- a box as a dictionary ---- */

/* What is no text is told as it can be: the file may be anybody's. */
static PyObject *
text_or_none(const char *text)
{
    if (*text == '\0') {
        Py_RETURN_NONE;
    }
    return PyUnicode_DecodeUTF8(text, (Py_ssize_t)strlen(text), "replace");
}

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

static const char *const statuses[] = {
    [MW_BOX_OPEN] = "open",           [MW_BOX_OK] = "ok",
    [MW_BOX_ERROR] = "error",         [MW_BOX_INTERRUPTED] = "interrupted",
    [MW_BOX_CANCELLED] = "cancelled",
};

static PyObject *
cell_as_dict(const struct mw_box_cell *cell)
{
    const bool closed = cell->status != MW_BOX_OPEN && cell->status != MW_BOX_CANCELLED;
    const struct mw_result *result = &cell->result;
    const struct int_item ints[] = {
        {"number", cell->number},
        {"t_mono_ns", cell->t_mono_ns},
        {"t_boot_ns", cell->t_boot_ns},
        {"t_real_ns", cell->t_real_ns},
        {"rss_start_bytes", cell->rss_start_bytes},
        {"rss_peak_bytes", cell->rss_peak_bytes},
        {"drift_bytes", cell->drift_bytes},
        {"execution_count", cell->title.execution_count},
        {"duration_ns", closed ? result->duration_ns : MW_ABSENT},
        {"rss_end_bytes", closed ? result->rss_end_bytes : MW_ABSENT},
        {"used_bytes", closed ? result->used_bytes : MW_ABSENT},
        {"peaked_bytes", closed ? result->peaked_bytes : MW_ABSENT},
        {"risen_bytes", closed ? mw_result_risen_bytes(result) : MW_ABSENT},
        {"peak_error_bytes", closed ? result->peak_error_bytes : MW_ABSENT},
    };
    const struct text_item texts[] = {
        {"status", statuses[cell->status]},
        {"label", cell->title.label},
        {"cell_id", cell->title.cell_id},
        {"source", cell->title.source},
    };
    PyObject *dict = INTS_AS_DICT(ints);

    if (dict != NULL && set_texts(dict, texts, sizeof texts / sizeof *texts) < 0) {
        Py_CLEAR(dict);
    }
    return dict;
}

static PyObject *
cells_as_list(const struct mw_box_view *view)
{
    PyObject *list = PyList_New(0);

    for (int i = 0; list != NULL && i < view->cell_count; i++) {
        PyObject *cell = cell_as_dict(&view->cells[i]);

        if (cell == NULL || PyList_Append(list, cell) < 0) {
            Py_CLEAR(list);
        }
        Py_XDECREF(cell);
    }
    return list;
}

static PyObject *
view_as_dict(const struct mw_box_view *view)
{
    const struct mw_box_identity *who = &view->identity;
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
        {"lifetime_peak_bytes", view->lifetime_peak_bytes},
        {"samples", view->samples},
        {"opened", view->opened},
        {"untold", view->untold},
        {"boot_ahead_ns", view->boot_ahead_ns},
        {"real_ahead_ns", view->real_ahead_ns},
        {"t_ended_ns", view->t_ended_ns},
    };
    const struct text_item texts[] = {
        {"boot_id", who->boot_id},     {"user", who->user},
        {"host", who->host},           {"limit_set_by", who->limit_set_by},
        {"kernel_id", who->kernel_id}, {"limit_group", who->limit_group},
        {"oom_file", who->oom_file},   {"notebook", who->notebook},
    };
    PyObject *dict = INTS_AS_DICT(ints);

    if (dict != NULL && (set_texts(dict, texts, sizeof texts / sizeof *texts) < 0 ||
                         set_item(dict, "cells", cells_as_list(view)) < 0)) {
        Py_CLEAR(dict);
    }
    return dict;
}

/* (box, times, sizes): what there is in `reader`, whose three buffers are the caller's.
 */
struct contents {
    struct mw_box_view view;
    struct mw_box_sample samples[MW_BOX_SAMPLES];
    int64_t series[MW_BOX_SAMPLES];
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
contents_as_tuple(const struct mw_reader *reader, struct contents *contents)
{
    int64_t next = 0;
    int64_t lost;
    size_t count = mw_reader_samples(reader, &next, contents->samples, &lost);
    PyObject *times;
    PyObject *sizes;
    PyObject *dict;

    mw_reader_view(reader, &contents->view);
    dict = view_as_dict(&contents->view);
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

PyDoc_STRVAR(boxes_read_doc,
             "read($module, path, /)\n--\n\n"
             "A black box: its fields by name, in bytes and nanoseconds, None where\n"
             "unknown; and its samples, times and RSS, as bytes of native 64-bit\n"
             "integers. BoxError: it is none that can be read. OSError: of the file.");

static PyObject *
boxes_read(PyObject *module, PyObject *argument)
{
    enum mw_box_fault fault = MW_BOX_FINE;
    struct mw_reader *reader;
    struct contents *contents;
    PyObject *path;
    PyObject *result = NULL;
    const char *file;
    int err;

    if (!PyUnicode_FSConverter(argument, (void *)&path)) {
        return NULL;
    }
    file = PyBytes_AsString(path);
    Py_BEGIN_ALLOW_THREADS; /* its file system may hang */
    err = mw_reader_new(&reader, file, &fault);
    Py_END_ALLOW_THREADS;
    Py_DECREF(path);
    if (err == -EBADMSG) {
        PyErr_SetString(get_state(module)->error, mw_box_describe_fault(fault));
        return NULL;
    }
    if (err != 0) {
        return raise_os_error(err, "the black box cannot be read");
    }
    contents = malloc(sizeof *contents);
    if (contents != NULL) {
        result = contents_as_tuple(reader, contents);
    }
    else {
        PyErr_NoMemory();
    }
    free(contents);
    mw_reader_free(&reader);
    return result;
}

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
    boxes_make_folder_doc,
    "make_folder($module, path, /)\n--\n\n"
    "Make a folder for its owner alone (mode 0700), or make one so that is there\n"
    "already. NotADirectoryError: something else is there, also a symbolic\n"
    "link; PermissionError: also, it is another user's; OSError.");

static PyObject *
boxes_make_folder(PyObject *Py_UNUSED(module), PyObject *argument)
{
    int err;

    return call_with_path(argument, mw_place_make, &err);
}

PyDoc_STRVAR(
    boxes_is_mappable_doc,
    "is_mappable($module, folder, /)\n--\n\n"
    "Whether files in the folder can be mapped safely: ext2 to ext4, XFS, tmpfs,\n"
    "and overlays whose upper layer is one of these. False: not, or unknown.\n"
    "OSError.");

static PyObject *
boxes_is_mappable(PyObject *Py_UNUSED(module), PyObject *argument)
{
    int is_mappable;
    PyObject *called = call_with_path(argument, mw_place_is_mappable, &is_mappable);

    if (called == NULL) {
        return NULL;
    }
    Py_DECREF(called);
    return PyBool_FromLong(is_mappable);
}

/* One figure of process `argument`; None where there is no such process, or none of it.
 */
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

PyDoc_STRVAR(boxes_start_ticks_doc,
             "start_ticks($module, pid, /)\n--\n\n"
             "When the process began, in ticks since boot: /proc/PID/stat field 22.\n"
             "None: there is no process of that pid. OSError.");

static PyObject *
boxes_start_ticks(PyObject *Py_UNUSED(module), PyObject *argument)
{
    return read_of_process(argument, mw_proc_read_start_ticks,
                           "cannot read /proc/PID/stat");
}

PyDoc_STRVAR(
    boxes_rss_bytes_doc,
    "rss_bytes($module, pid, /)\n--\n\n"
    "The process's RSS now: /proc/PID/statm field 2 x page size. None: it has\n"
    "none, or there is no process of that pid. OSError.");

static PyObject *
boxes_rss_bytes(PyObject *Py_UNUSED(module), PyObject *argument)
{
    return read_of_process(argument, mw_proc_read_rss_of,
                           "cannot read /proc/PID/statm");
}

PyDoc_STRVAR(
    boxes_oom_kills_doc,
    "oom_kills($module, file, /)\n--\n\n"
    "The count of a control group's OOM kills now, at the place `oom_file` that\n"
    "a box names. None: it is not to be seen, or that is no such place.");

static PyObject *
boxes_oom_kills(PyObject *Py_UNUSED(module), PyObject *argument)
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

/* ---- the module ---- */

static PyMethodDef boxes_methods[] = {
    {"read", boxes_read, METH_O, boxes_read_doc},
    {"make_folder", boxes_make_folder, METH_O, boxes_make_folder_doc},
    {"is_mappable", boxes_is_mappable, METH_O, boxes_is_mappable_doc},
    {"start_ticks", boxes_start_ticks, METH_O, boxes_start_ticks_doc},
    {"rss_bytes", boxes_rss_bytes, METH_O, boxes_rss_bytes_doc},
    {"oom_kills", boxes_oom_kills, METH_O, boxes_oom_kills_doc},
    {NULL, NULL, 0, NULL},
};

static int
boxes_exec(PyObject *module)
{
    struct boxes_state *state = get_state(module);

    state->error = PyErr_NewExceptionWithDoc(
        "memwatch._boxes.BoxError", "This is no black box that can be read; why not.",
        PyExc_ValueError, NULL);
    return PyModule_AddObjectRef(module, "BoxError", state->error);
}

static int
boxes_traverse(PyObject *module, visitproc visit, void *arg)
{
    Py_VISIT(get_state(module)->error);
    return 0;
}

static int
boxes_clear(PyObject *module)
{
    Py_CLEAR(get_state(module)->error);
    return 0;
}

static void
boxes_free(void *module)
{
    boxes_clear((PyObject *)module);
}

static PyModuleDef_Slot boxes_slots[] = {
    {Py_mod_exec, boxes_exec},
    LAST_MODULE_SLOTS,
};

PyDoc_STRVAR(boxes_doc, "Black boxes, read; other processes, looked at.");

static struct PyModuleDef boxes_definition = {
    PyModuleDef_HEAD_INIT,        .m_name = "memwatch._boxes",
    .m_doc = boxes_doc,           .m_size = sizeof(struct boxes_state),
    .m_methods = boxes_methods,   .m_slots = boxes_slots,
    .m_traverse = boxes_traverse, .m_clear = boxes_clear,
    .m_free = boxes_free,
};

PyMODINIT_FUNC
PyInit__boxes(void)
{
    return PyModuleDef_Init(&boxes_definition);
}
