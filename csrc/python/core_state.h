/* What the parts of memwatch._core share: the module's state. */

#ifndef CORE_STATE_MODULE_H
#define CORE_STATE_MODULE_H

#include "support_module.h"

#include "mw_self.h"

struct core_state {
    PyThread_type_lock lock;    /* guards the two below where there is no GIL */
    struct mw_sampler *sampler; /* NULL: not to be had when we last tried */
    PyObject *cpu_capsule;      /* keeps the reader alive; NULL: none is set */
    PyObject *figure_names;     /* see core_window_figure_names() */
    PyTypeObject *window_type;
    PyTypeObject *process_type;
};

static inline struct core_state *
get_state(PyObject *module)
{
    return (struct core_state *)PyModule_GetState(module);
}

static inline struct mw_sampler *
get_sampler(struct core_state *state)
{
    struct mw_sampler *sampler;
    int err = 0;

    PyThread_acquire_lock(state->lock, WAIT_LOCK);
    if (state->sampler == NULL) {
        err = mw_self_acquire(&state->sampler);
    }
    sampler = state->sampler;
    PyThread_release_lock(state->lock);
    if (err != 0) {
        raise_os_error(err, "cannot read this process's memory in /proc/self");
    }
    return sampler;
}

/* For the black box: what `object` is as a text, as far as it is one. Whatever somebody
 * calls a cell, and whatever is in the environment, measuring goes on. */
static inline void
put_text_of(char *room, size_t size, PyObject *object)
{
    PyObject *text = object == Py_None ? NULL : PyObject_Str(object);
    PyObject *bytes =
        text == NULL ? NULL : PyUnicode_AsEncodedString(text, "utf-8", "replace");

    mw_box_put_text(room, size, bytes == NULL ? NULL : PyBytes_AsString(bytes));
    Py_XDECREF(bytes);
    Py_XDECREF(text);
    PyErr_Clear();
}

#endif
