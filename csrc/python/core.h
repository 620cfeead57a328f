/* What the parts of memwatch._core share: the module's state, its types, and the
 * functions that each file adds to it. */

#ifndef MW_PYTHON_CORE_H
#define MW_PYTHON_CORE_H

#include "python/support.h"

#include "sampler/process_sampler.h"

struct core_state {
    PyThread_type_lock lock;    /* guards the two below where there is no GIL */
    struct mw_sampler *sampler; /* NULL: not opened yet, or that failed */
    PyObject *cpu_capsule;      /* keeps the reader alive; NULL: none is set */
    PyObject *figure_names;     /* see core_figure_names() */
    PyObject *blackbox_error;   /* BlackBoxError */
    PyTypeObject *window_type;
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
        err = mw_process_sampler_acquire(&state->sampler);
    }
    sampler = state->sampler;
    PyThread_release_lock(state->lock);
    if (err != 0) {
        raise_os_error(err, "cannot read this process's memory in /proc/self");
    }
    return sampler;
}

/* Begin a METH_NOARGS function of the module that needs only `sampler`, that of this
 * process. OSError if it cannot be opened. */
#define SAMPLER_FUNCTION(name)                                                         \
    static PyObject *name##_of(struct mw_sampler *sampler);                            \
                                                                                       \
    static PyObject *name(PyObject *module, PyObject *Py_UNUSED(ignored))              \
    {                                                                                  \
        struct mw_sampler *sampler = get_sampler(get_state(module));                   \
                                                                                       \
        return sampler == NULL ? NULL : name##_of(sampler);                            \
    }                                                                                  \
                                                                                       \
    static PyObject *name##_of(struct mw_sampler *sampler)

/* The figures of one read, and the highest RSS; `peak_name` says since when. */
static inline PyObject *
memory_as_dict(const struct mw_memory *memory, const char *peak_name,
               int64_t peak_bytes)
{
    const struct int_item items[] = {
        {"rss_bytes", memory->rss_bytes},   {"anon_bytes", memory->anon_bytes},
        {"file_bytes", memory->file_bytes}, {"shmem_bytes", memory->shmem_bytes},
        {"swap_bytes", memory->swap_bytes}, {peak_name, peak_bytes},
    };

    return INTS_AS_DICT(items);
}

/* Copy str(object) to a text of the black box. Never fails: a strange label or
 * environment must not stop the measuring. */
static inline void
put_text_of(char *room, size_t size, PyObject *object)
{
    PyObject *text = object == Py_None ? NULL : PyObject_Str(object);
    PyObject *bytes =
        text == NULL ? NULL : PyUnicode_AsEncodedString(text, "utf-8", "replace");

    mw_blackbox_put_text(room, size, bytes == NULL ? NULL : PyBytes_AsString(bytes));
    Py_XDECREF(bytes);
    Py_XDECREF(text);
    PyErr_Clear();
}

/* ---- Window: a window on this process or another one ---- */

extern PyType_Spec core_window_spec;

/* A window of `sampler`, which `owner` keeps alive. OSError. */
PyObject *core_window_open(PyTypeObject *type, struct mw_sampler *sampler,
                           PyObject *owner, const struct mw_blackbox_title *title);

/* The names of the figures, interned, as a tuple; NULL: MemoryError. */
PyObject *core_figure_names(const struct mw_figure *figures, Py_ssize_t count);

/* ---- Process: another process, by its pid ---- */

extern PyType_Spec core_process_spec;

/* ---- Command: a command that is run and measured ---- */

extern PyType_Spec core_command_spec;
extern PyType_Spec core_lines_spec;

/* ---- functions; each returns -1 with an exception set if it fails ---- */

int core_add_recording_functions(PyObject *module);
int core_add_blackbox_functions(PyObject *module); /* and BlackBoxError */
int core_add_system_functions(PyObject *module);

#endif
