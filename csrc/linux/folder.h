/* The folders that black boxes lie in: made for their owner alone, and whether a file
 * in them can be mapped safely.
 *
 * A store to a mapped page that the file system cannot provide is a SIGBUS, the end of
 * the process that is only measured. On ext2 to ext4, XFS and tmpfs blocks that were
 * allocated once stay; network file systems, FUSE and those that copy on write give no
 * such promise.
 *
 *     if (mw_folder_make("/dev/shm/memwatch-1000") == 0 &&
 *         mw_folder_is_mappable("/dev/shm/memwatch-1000") == 1) ...
 *
 * All calls here may take as long as the file system takes. Any thread. */

#ifndef MW_LINUX_FOLDER_H
#define MW_LINUX_FOLDER_H

/* Make the folder, mode 0700; its parent has to be there. A folder that is there
 * already is made 0700. -errno; -ENOTDIR: something else is there, also a symbolic
 * link; -EPERM: the folder is another user's. */
int mw_folder_make(const char *folder);

/* 1: files in it can be mapped safely; 0: they cannot, or it is not known. An overlay
 * is as safe as the file system of its upper layer, where that can be found: by
 * /proc/self/mountinfo, and only where the same folder lies there. -errno of
 * statfs(). */
int mw_folder_is_mappable(const char *folder);

#endif
