/* memwatch._core.Window: a window on the interpreter's own process. */

#ifndef WINDOW_MODULE_H
#define WINDOW_MODULE_H

#include "core_state_module.h"

/* To be made a type of memwatch._core, whose state it uses. */
extern PyType_Spec core_window_spec;

/* A window by `sampler`, which `owner` keeps alive. OSError. */
PyObject *core_window_open(PyTypeObject *type, struct mw_sampler *sampler,
                           PyObject *owner, const struct mw_box_title *title);

/* The names of the figures that close() returns, interned, as a tuple; NULL:
 * MemoryError.
 */
PyObject *core_window_figure_names(void);

#endif
