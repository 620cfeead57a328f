/* memwatch._core.Window: a window on the interpreter's own process. */

#ifndef WINDOW_MODULE_H
#define WINDOW_MODULE_H

#include "core_state_module.h"

/* To be made a type of memwatch._core, whose state it uses. */
extern PyType_Spec core_window_spec;

#endif
