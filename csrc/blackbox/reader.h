/* Reads black boxes, in any process. By pread(): reading a mapped file that another
 * process truncates would be a SIGBUS.
 *
 *     err = mw_blackbox_reader_new(&reader, path, &fault);
 *     mw_blackbox_reader_view(reader, &view);
 *     count = mw_blackbox_reader_samples(reader, &next, samples, &lost);
 *     mw_blackbox_reader_free(&reader);
 */

#ifndef MW_BLACKBOX_READER_H
#define MW_BLACKBOX_READER_H

#include "blackbox/layout.h"

struct mw_blackbox_reader; /* opaque; 200 KiB */

/* Open the box `path`, and refresh. Symbolic links are not followed, except that of our
 * own descriptor (mw_blackbox_writer_path()); opening a pipe does not block. The caller
 * owns *out and frees it. -EBADMSG: it cannot be read as a box, *fault says why; -errno
 * of the file. */
int mw_blackbox_reader_new(struct mw_blackbox_reader **out, const char *path,
                           enum mw_blackbox_fault *fault);
void mw_blackbox_reader_free(struct mw_blackbox_reader **out);

/* Copy the file's current state, for the next two functions; about 10 us. Errors as
 * above. One thread at a time. */
int mw_blackbox_reader_refresh(struct mw_blackbox_reader *self,
                               enum mw_blackbox_fault *fault);

/* Everything but the samples. */
void mw_blackbox_reader_view(const struct mw_blackbox_reader *self,
                             struct mw_blackbox_view *out);

/* The samples from number `*next` on; see mw_blackbox_decode_samples(). */
size_t mw_blackbox_reader_samples(const struct mw_blackbox_reader *self, int64_t *next,
                                  struct mw_blackbox_sample *out, int64_t *lost);

#endif
