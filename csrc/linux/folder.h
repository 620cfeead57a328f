/* Folders for black boxes: private, and on a file system that can be mapped safely.
 *
 * A store to a mapped page that the file system cannot provide is a SIGBUS, which ends
 * the measured process. ext2 to ext4, XFS and tmpfs keep blocks once they are
 * allocated; network file systems, FUSE and copy-on-write ones do not promise that.
 *
 *     if (mw_folder_make("/dev/shm/memwatch-1000") == 0 &&
 *         mw_folder_is_mappable("/dev/shm/memwatch-1000") == 1) ...
 *
 * The calls may take as long as the file system takes. Any thread. */

#ifndef MW_LINUX_FOLDER_H
#define MW_LINUX_FOLDER_H

/* Make the folder, mode 0700; its parent must exist. An existing folder gets mode 0700.
 * -errno; -ENOTDIR: something else is there, or a symbolic link; -EPERM: the folder
 * belongs to another user. */
int mw_folder_make(const char *folder);

/* 1: files in it can be mapped safely; 0: they cannot, or that is unknown. An overlay
 * is as safe as the file system of its upper layer, if /proc/self/mountinfo names that
 * and the same folder is found there. -errno of statfs(). */
int mw_folder_is_mappable(const char *folder);

#endif
