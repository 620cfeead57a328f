/* What this machine lets a process do with its children, found out on a real one.
 *
 * By trying, never by a version number: the kernel, its configuration, Yama, a
 * container's seccomp filter and what the process may do itself all have a say. */

#ifndef MW_LINUX_PROBE_H
#define MW_LINUX_PROBE_H

/* Of each: 0, it can be done, or the errno of why not. EOPNOTSUPP: the kernel says
 * that it has done it, and has not. */
struct mw_probe {
    int rss_errno;      /* read its RSS: /proc/PID/status */
    int pss_errno;      /* read its share of shared pages: /proc/PID/smaps_rollup */
    int hwm_errno;      /* reset its high-water mark: /proc/PID/clear_refs */
    int seize_errno;    /* trace it: PTRACE_SEIZE */
    int last_hwm_errno; /* read its mark when it is about to exit:
                            PTRACE_O_TRACEEXIT; needs the seizing */
};

/* Fork a child that touches 8 MiB and then waits, try it all, kill and reap it. The
 * child runs none of the caller's code. Takes 1 ms, and what the fork takes. Any
 * thread. -errno where no child can be had; nothing is left behind in any case. */
int mw_probe_run(struct mw_probe *out);

#endif
