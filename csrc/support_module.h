/* What the modules share. */

#ifndef SUPPORT_MODULE_H
#define SUPPORT_MODULE_H

#define PY_SSIZE_T_CLEAN
#include <Python.h>

#include <string.h>

static inline const char *
error_text(int errno_value)
{
    /* NOLINTNEXTLINE(concurrency-mt-unsafe): glibc's and musl's is safe */
    return strerror(errno_value);
}

/* OSError(errno, "CALL: what the errno means"). `err` is a -errno. Returns NULL. */
static inline PyObject *
raise_os_error(int err, const char *call)
{
    PyObject *arguments = Py_BuildValue(
        "(iN)", -err, PyUnicode_FromFormat("%s: %s", call, error_text(-err)));

    if (arguments != NULL) {
        PyErr_SetObject(PyExc_OSError, arguments);
        Py_DECREF(arguments);
    }
    return NULL;
}

#endif
