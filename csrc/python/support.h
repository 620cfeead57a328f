/* Shared by the extension modules: errors, and values from C to Python. */

#ifndef MW_PYTHON_SUPPORT_H
#define MW_PYTHON_SUPPORT_H

#define PY_SSIZE_T_CLEAN
#include <Python.h>

#include <string.h>

#include "base/sample.h"

/* The last slots of a module: all state is in the module, so it works in several
 * interpreters, each with its own GIL or without one. */
#ifdef Py_mod_multiple_interpreters
#define ANY_INTERPRETER                                                                \
    {Py_mod_multiple_interpreters, Py_MOD_PER_INTERPRETER_GIL_SUPPORTED},
#else
#define ANY_INTERPRETER
#endif
#ifdef Py_mod_gil
#define NO_GIL {Py_mod_gil, Py_MOD_GIL_NOT_USED},
#else
#define NO_GIL
#endif
/* clang-format would take the last braces for a block. */
/* clang-format off */
#define LAST_MODULE_SLOTS ANY_INTERPRETER NO_GIL {0, NULL}
/* clang-format on */

static inline const char *
error_text(int errno_value)
{
    /* NOLINTNEXTLINE(concurrency-mt-unsafe): glibc's and musl's is safe */
    return strerror(errno_value);
}

/* OSError(errno, "CALL: TEXT"). `err` is a -errno. Returns NULL. */
static inline PyObject *
raise_described_error(int err, const char *call, const char *text)
{
    /* An instance: of a class with arguments `except FileNotFoundError` would only see
     * the class OSError (before Python 3.12). */
    PyObject *error = PyObject_CallFunction(PyExc_OSError, "iN", -err,
                                            PyUnicode_FromFormat("%s: %s", call, text));

    if (error != NULL) {
        PyErr_SetObject((PyObject *)Py_TYPE(error), error);
        Py_DECREF(error);
    }
    return NULL;
}

/* The same with what the errno means. */
static inline PyObject *
raise_os_error(int err, const char *call)
{
    return raise_described_error(err, call, error_text(-err));
}

static inline PyObject *
int_or_none(int64_t value)
{
    if (value == MW_ABSENT || value == MW_UNLIMITED) {
        Py_RETURN_NONE;
    }
    return PyLong_FromLongLong(value);
}

/* None for NULL and "". Bytes that are not UTF-8 are replaced. */
static inline PyObject *
text_or_none(const char *text)
{
    if (text == NULL || *text == '\0') {
        Py_RETURN_NONE;
    }
    return PyUnicode_DecodeUTF8(text, (Py_ssize_t)strlen(text), "replace");
}

/* None leaves *value unchanged. Returns -1 with an exception for other types. */
static inline int
take_int_or_none(PyObject *object, int64_t *value)
{
    long long given;

    if (object == Py_None) {
        return 0;
    }
    given = PyLong_AsLongLong(object);
    if (given == -1 && PyErr_Occurred()) {
        return -1;
    }
    *value = given;
    return 0;
}

/* Create a type and add it to the module. `out`, unless NULL, gets a strong reference.
 */
static inline int
add_type(PyObject *module, PyType_Spec *spec, PyTypeObject **out)
{
    PyTypeObject *type = (PyTypeObject *)PyType_FromModuleAndSpec(module, spec, NULL);
    int err = type == NULL ? -1 : PyModule_AddType(module, type);

    if (err == 0 && out != NULL) {
        *out = type;
    }
    else {
        Py_XDECREF((PyObject *)type);
    }
    return err;
}

/* Steals `value`, which may be NULL with an exception set. */
static inline int
set_item(PyObject *dict, const char *key, PyObject *value)
{
    int err;

    if (value == NULL) {
        return -1;
    }
    err = PyDict_SetItemString(dict, key, value);
    Py_DECREF(value);
    return err;
}

struct int_item {
    const char *key;
    int64_t value;
};

static inline int
set_ints(PyObject *dict, const struct int_item *items, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        if (set_item(dict, items[i].key, int_or_none(items[i].value)) < 0) {
            return -1;
        }
    }
    return 0;
}

static inline PyObject *
ints_as_dict(const struct int_item *items, size_t count)
{
    PyObject *dict = PyDict_New();

    if (dict != NULL && set_ints(dict, items, count) < 0) {
        Py_CLEAR(dict);
    }
    return dict;
}

/* `items` is an array, not a pointer. */
#define INTS_AS_DICT(items) ints_as_dict(items, sizeof(items) / sizeof *(items))

#endif
