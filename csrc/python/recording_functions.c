/* memwatch._core: the black box that this process writes. */

#include "python/core.h"

#include "sampler/recording.h"

PyDoc_STRVAR(
    core_start_recording_doc,
    "start_recording($module, path, /, user=None, kernel_id=None, notebook=None,\n"
    "                limit_bytes=None, limit_set_by=None, limit_group=None,\n"
    "                copy=None)\n--\n\n"
    "Also write all figures to the black box `path`, on a file system that can be\n"
    "mapped safely (None: in memory only), with a copy in the file `copy`; replaces\n"
    "the current box. OSError: a file cannot be created.");

/* None leaves *path unchanged. */
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
    struct mw_blackbox_identity given = {.limit_bytes = MW_UNLIMITED};
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
    result = err != 0 ? raise_os_error(err, "cannot create the black box")
                      : Py_NewRef(Py_None);
out:
    Py_XDECREF(path);
    Py_XDECREF(copy);
    return result;
}

PyDoc_STRVAR(core_stop_recording_doc,
             "stop_recording($module, /)\n--\n\n"
             "Remove the black box. No effect without one, and in a forked child.");

SAMPLER_FUNCTION(core_stop_recording)
{
    Py_BEGIN_ALLOW_THREADS;
    mw_recording_stop(sampler);
    Py_END_ALLOW_THREADS;
    Py_RETURN_NONE;
}

PyDoc_STRVAR(core_recording_doc, "recording($module, /)\n--\n\n"
                                 "The current black box: its path for this process, "
                                 "and why its copy is not written\n"
                                 "(copy_error, else None). None: there is no box.");

SAMPLER_FUNCTION(core_recording)
{
    struct mw_recording found;

    if (!mw_recording_read(sampler, &found)) {
        Py_RETURN_NONE;
    }
    return Py_BuildValue("{sNsz}", "path", PyUnicode_DecodeFSDefault(found.path),
                         "copy_error",
                         found.copy_errno != 0 ? error_text(found.copy_errno) : NULL);
}

PyDoc_STRVAR(core_has_lost_recording_doc,
             "has_lost_recording($module, /)\n--\n\n"
             "Whether another program has removed the current black box: one fstat().");

SAMPLER_FUNCTION(core_has_lost_recording)
{
    return PyBool_FromLong(mw_recording_is_lost(sampler));
}

static PyMethodDef recording_methods[] = {
    {"start_recording", (PyCFunction)(void (*)(void))core_start_recording,
     METH_VARARGS | METH_KEYWORDS, core_start_recording_doc},
    {"stop_recording", core_stop_recording, METH_NOARGS, core_stop_recording_doc},
    {"recording", core_recording, METH_NOARGS, core_recording_doc},
    {"has_lost_recording", core_has_lost_recording, METH_NOARGS,
     core_has_lost_recording_doc},
    {NULL, NULL, 0, NULL},
};

int
core_add_recording_functions(PyObject *module)
{
    return PyModule_AddFunctions(module, recording_methods);
}
