/* How memwatch._procps hands a struct mw_cpu_reader to memwatch._core. */

#ifndef MW_PYTHON_CPU_CAPSULE_H
#define MW_PYTHON_CPU_CAPSULE_H

#include "base/sample.h"

/* The capsule's name; it points to a struct mw_cpu_reader and owns it. */
#define MW_CPU_CAPSULE "memwatch._procps.cpu_reader"

#endif
