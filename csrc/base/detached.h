/* Runs a call that may take long and cannot be interrupted in a thread of its own, and
 * waits for it for a limited time.
 *
 *     err = mw_detached_run(terminate, socket, 50 * MW_NS_PER_MS);
 */

#ifndef MW_BASE_DETACHED_H
#define MW_BASE_DETACHED_H

#include <stdint.h>

/* Call act(context). Return when it has returned, or after `patience_ns`: then it
 * continues alone, so it must own what it uses. Returns 0, or -errno if no thread could
 * be created: then it was not called. */
int mw_detached_run(void (*act)(void *context), void *context, int64_t patience_ns);

#endif
