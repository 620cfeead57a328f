/* A reader of black boxes, in whatever process: by pread, so that a file that somebody
 * cuts off cannot kill who reads it (a mapping would, by SIGBUS). */

#ifndef MW_BLACKBOX_READER_H
#define MW_BLACKBOX_READER_H

#include "blackbox/layout.h"

struct mw_blackbox_reader; /* opaque; 200 KiB */

/* Open the box `path`. A link is not followed, but for that of a descriptor of our own
 * (mw_blackbox_writer_path()); a pipe is not waited for. The caller owns *out and frees
 * it. 0; -EBADMSG: no box that we can read, *fault tells why; -errno of the file. */
int mw_blackbox_reader_new(struct mw_blackbox_reader **out, const char *path,
                           enum mw_blackbox_fault *fault);
void mw_blackbox_reader_free(struct mw_blackbox_reader **out);

/* Copy the file's state of now, for the two below. -EBADMSG and -errno as above. About
 * 10 us. One thread at a time. */
int mw_blackbox_reader_refresh(struct mw_blackbox_reader *self,
                               enum mw_blackbox_fault *fault);

/* Everything but the samples, as refreshed last. */
void mw_blackbox_reader_view(const struct mw_blackbox_reader *self,
                             struct mw_blackbox_view *out);

/* The samples from number `*next` on; see mw_blackbox_decode_samples(). */
size_t mw_blackbox_reader_samples(const struct mw_blackbox_reader *self, int64_t *next,
                                  struct mw_blackbox_sample *out, int64_t *lost);

#endif
