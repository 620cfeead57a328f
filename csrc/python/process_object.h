/* memwatch._core.Process: another process, by its pid. */

#ifndef PROCESS_MODULE_H
#define PROCESS_MODULE_H

#include "window_module.h"

/* To be made a type of memwatch._core, whose state it uses. */
extern PyType_Spec core_process_spec;

#endif
