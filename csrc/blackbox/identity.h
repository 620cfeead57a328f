/* Which process a black box belongs to: pid, start, user, host, boot, namespaces,
 * cgroup.
 *
 *     struct mw_blackbox_identity identity = {.limit_bytes = MW_UNLIMITED};
 *     mw_blackbox_identity_find(&identity);
 */

#ifndef MW_BLACKBOX_IDENTITY_H
#define MW_BLACKBOX_IDENTITY_H

#include "blackbox/layout.h"

/* Fill in what can be found out about the calling process; unknown fields are absent.
 * The fields that the caller knows (user, kernel, notebook, limit) stay. */
void mw_blackbox_identity_find(struct mw_blackbox_identity *self);

#endif
