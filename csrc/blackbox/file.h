/* The file of a black box before it has content. Each function returns a descriptor,
 * which the caller closes, or -errno. */

#ifndef MW_BLACKBOX_FILE_H
#define MW_BLACKBOX_FILE_H

/* Create a file of zeroes with all its blocks allocated, mode 0600. A file that is in
 * its place is removed. */
int mw_blackbox_file_make(const char *path);

/* Anonymous memory with a descriptor, for the copier and the publisher. */
int mw_blackbox_memory_make(void);

#endif
