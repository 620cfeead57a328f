/* What a process can do with its children on this machine, tried on a real child: it
 * depends on the kernel, its configuration, Yama, seccomp filters and privileges.
 *
 *     err = mw_probe_run(&probe);
 *     if (err == 0 && probe.hwm_errno == 0) ... // a child's mark can be reset
 */

#ifndef MW_LINUX_PROBE_H
#define MW_LINUX_PROBE_H

/* Each is 0 if it works, else an errno. EOPNOTSUPP: the call succeeds without effect.
 */
struct mw_probe {
    int rss_errno;      /* read its RSS: /proc/PID/status */
    int pss_errno;      /* read its share of shared pages: /proc/PID/smaps_rollup */
    int hwm_errno;      /* reset its high-water mark: /proc/PID/clear_refs */
    int seize_errno;    /* trace it: PTRACE_SEIZE */
    int last_hwm_errno; /* read its mark at its exit: PTRACE_O_TRACEEXIT */
};

/* Fork a child that touches 8 MiB and waits, try everything, kill and reap it. The
 * child runs none of the caller's code. Takes the time of fork() and 1 ms. Any thread.
 * -errno: no child could be started. */
int mw_probe_run(struct mw_probe *out);

#endif
