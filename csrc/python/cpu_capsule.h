/* How memwatch._host hands a struct mw_cpu_reader to memwatch._core. */

#ifndef MW_CPU_CAPSULE_H
#define MW_CPU_CAPSULE_H

#include "mw_sample.h"

/* The capsule's name; it points to a struct mw_cpu_reader and owns it. */
#define MW_CPU_CAPSULE "memwatch._host.cpu_reader"

#endif
