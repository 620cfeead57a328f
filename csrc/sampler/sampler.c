#include "sampler/sampler_private.h"

#include <errno.h>
#include <stdlib.h>

#include "base/clock.h"
#include "sampler/window_recording.h"
#include "window/sampling_interval.h"

#define CPU_INTERVAL_NS (100 * MW_NS_PER_MS)

#define HWM_INTERVAL_NS (100 * MW_NS_PER_MS)

/* Also reads the HWM, before the first reset loses it. */
static int
open_files(struct mw_sampler *self)
{
    int64_t hwm_bytes;
    int err = mw_target_open(&self->target, &hwm_bytes);

    if (err == 0) {
        mw_window_list_init(&self->windows, hwm_bytes);
    }
    return err;
}

int
mw_sampler_new_with_reset(struct mw_sampler **out, const char *root, pid_t pid,
                          const struct mw_accuracy *own)
{
    struct mw_sampler *self = calloc(1, sizeof *self);
    int err;

    if (self == NULL) {
        return -ENOMEM;
    }
    err = mw_target_init(&self->target, root, pid, own);
    if (err != 0) {
        free(self);
        return err;
    }
    err = open_files(self);
    if (err == 0) {
        err = -pthread_mutex_init(&self->lock, NULL);
    }
    if (err == 0) {
        err = -pthread_mutex_init(&self->files, NULL);
        if (err != 0) {
            pthread_mutex_destroy(&self->lock);
        }
    }
    if (err != 0) {
        mw_target_release(&self->target);
        free(self);
        return err;
    }
    *out = self;
    return 0;
}

int
mw_sampler_new(struct mw_sampler **out, const char *root, pid_t pid)
{
    return mw_sampler_new_with_reset(out, root, pid, NULL);
}

void
mw_sampler_free(struct mw_sampler **out)
{
    struct mw_sampler *self = *out;

    if (self == NULL) {
        return;
    }
    mw_ticker_free(&self->ticker);
    mw_blackbox_writer_free(&self->writer);
    pthread_mutex_destroy(&self->files);
    pthread_mutex_destroy(&self->lock);
    mw_target_release(&self->target);
    free(self);
    *out = NULL;
}

/* With the lock held: read CPU times for all open windows. */
static bool
read_cpu(struct mw_sampler *self, int64_t t_ns, struct mw_cpu *cpu)
{
    if (self->cpu.read == NULL || self->cpu.read(self->cpu.self, cpu) != 0) {
        return false;
    }
    self->t_cpu_ns = t_ns;
    mw_window_list_add_cpu(&self->windows, cpu);
    return true;
}

/* With the lock held. The newest window sets the interval for all. */
static void
schedule(struct mw_sampler *self, int64_t t_now_ns)
{
    int64_t t_open_ns = self->windows.newest->window.t_open_ns;
    int64_t next_age_ns = mw_sampling_interval_next_age_ns(t_now_ns - t_open_ns);

    if (self->ticker == NULL) {
        return;
    }
    self->t_next_ns = t_open_ns + next_age_ns;
    self->interval_ns = mw_sampling_interval_next_age_ns(next_age_ns) - next_age_ns;
    mw_ticker_call_at(self->ticker, self->t_next_ns);
}

/* ---- the thread ---- */

static void
take_sample(struct mw_sampler *self, int64_t t_ns)
{
    struct mw_memory memory = MW_MEMORY_ABSENT;
    struct mw_cpu cpu;
    /* If the process is killed, the HWM that was read last is all that is left. */
    bool with_hwm = (self->writer != NULL || self->target.pid != 0) &&
                    t_ns - self->t_hwm_ns >= HWM_INTERVAL_NS;
    int64_t resets = self->resets;
    int err;

    /* Without `lock`: meanwhile windows may close and open, and the files with them. */
    pthread_mutex_lock(&self->files);
    pthread_mutex_unlock(&self->lock);
    err = with_hwm ? mw_proc_read_memory(&self->target.proc, &memory)
                   : mw_proc_read_rss(&self->target.proc, &memory.rss_bytes);
    pthread_mutex_unlock(&self->files);
    pthread_mutex_lock(&self->lock);
    if (err == 0) {
        self->samples++;
        mw_window_list_add_sample(&self->windows, t_ns, memory.rss_bytes);
        if (with_hwm) {
            self->t_hwm_ns = t_ns;
            /* A window that reset the HWM meanwhile has already read it for the others;
             * for that window this HWM is too old. */
            if (resets == self->resets) {
                mw_window_list_add_hwm(&self->windows, memory.hwm_bytes);
            }
        }
        mw_window_recording_sample(self->writer, &self->windows, t_ns,
                                   memory.rss_bytes);
    }
    if (t_ns - self->t_cpu_ns >= CPU_INTERVAL_NS) {
        read_cpu(self, t_ns, &cpu);
    }
    mw_target_update_processors(&self->target, t_ns);
}

static void
tick(void *context)
{
    struct mw_sampler *self = context;
    int64_t t_now_ns;

    pthread_mutex_lock(&self->lock);
    t_now_ns = mw_clock_mono_ns();
    /* The windows that scheduled this call may have closed, and others opened. */
    if (self->windows.newest != NULL && t_now_ns < self->t_next_ns) {
        mw_ticker_call_at(self->ticker, self->t_next_ns);
    }
    else if (self->windows.newest != NULL) {
        self->missed += (t_now_ns - self->t_next_ns) / self->interval_ns;
        take_sample(self, t_now_ns);
        if (self->windows.newest != NULL) {
            schedule(self, mw_clock_mono_ns());
        }
    }
    pthread_mutex_unlock(&self->lock);
}

/* ---- windows ---- */

int
mw_sampler_reopen_files(struct mw_sampler *self)
{
    bool were_open = self->target.proc.status.fd >= 0;
    int64_t lifetime_peak_bytes = self->windows.lifetime_peak_bytes;
    int err;

    if (were_open &&
        (self->windows.newest != NULL || mw_target_is_intact(&self->target))) {
        return 0;
    }
    pthread_mutex_lock(&self->files); /* the thread may be reading them */
    mw_proc_close(&self->target.proc);
    err = open_files(self);
    pthread_mutex_unlock(&self->files);
    if (err == 0 && were_open) {
        mw_window_list_add_hwm(&self->windows, lifetime_peak_bytes);
    }
    return err;
}

/* With the lock held. If there is no thread, start one; fork() may have ended it. If
 * that fails the window has no samples, and the next window tries again. */
static int
prepare(struct mw_sampler *self)
{
    int err = mw_sampler_reopen_files(self);

    if (err == 0 && self->ticker == NULL) {
        self->thread_errno = -mw_ticker_new(&self->ticker, "memwatch", tick, self);
        self->t_next_ns = MW_TICKER_NEVER;
    }
    return err;
}

static int
open_locked(struct mw_sampler *self, struct mw_watch *watch,
            const struct mw_blackbox_title *title)
{
    struct mw_memory start;
    struct mw_cpu cpu;
    int64_t t_open_ns;
    bool is_reset;
    int err = prepare(self);

    if (err == 0) {
        err = mw_proc_read_memory(&self->target.proc, &start);
    }
    if (err != 0) {
        return err;
    }
    mw_window_list_add_hwm(&self->windows, start.hwm_bytes);
    mw_window_list_add_reading(&self->windows, start.rss_bytes);
    /* An HWM that could not be read is not reset: other windows still need it. */
    is_reset = self->target.accuracy.hwm_resets && start.hwm_bytes != MW_ABSENT;
    /* If HWM <= RSS there is nothing to reset. */
    if (is_reset && start.hwm_bytes > start.rss_bytes) {
        is_reset = mw_proc_reset_hwm(&self->target.proc) == 0;
        if (is_reset) {
            self->resets++;
            mw_window_list_drop_hwm(&self->windows);
        }
        err = mw_proc_read_memory(&self->target.proc, &start);
        if (err != 0) {
            return err;
        }
        is_reset = is_reset && start.hwm_bytes != MW_ABSENT;
    }
    t_open_ns = mw_clock_mono_ns();
    watch->t_real_ns = mw_clock_real_ns();
    mw_window_list_open(&self->windows, watch, t_open_ns, &start, is_reset);
    watch->thread_errno = self->thread_errno;
    mw_window_recording_open(self->writer, watch, t_open_ns, start.rss_bytes, title);
    mw_window_recording_sample(self->writer, &self->windows, t_open_ns,
                               start.rss_bytes);
    read_cpu(self, t_open_ns, &cpu);
    /* Do not postpone a sample that is due for an older window: windows opened in quick
     * succession would postpone it forever. */
    if (self->windows.count == 1 ||
        self->t_next_ns > t_open_ns + MW_SAMPLING_INTERVAL_FIRST_NS) {
        schedule(self, t_open_ns);
    }
    return 0;
}

int
mw_sampler_open(struct mw_sampler *self, struct mw_watch *watch,
                const struct mw_blackbox_title *title)
{
    int err;

    watch->open = false;
    watch->unfinished = false;
    pthread_mutex_lock(&self->lock);
    err = open_locked(self, watch, title);
    pthread_mutex_unlock(&self->lock);
    return err;
}

static int
close_locked(struct mw_sampler *self, struct mw_watch *watch,
             const struct mw_ending *ending, struct mw_result *out)
{
    struct mw_memory end;
    struct mw_cpu cpu;
    struct mw_closing closing;
    int64_t t_close_ns = mw_clock_mono_ns();
    bool cpu_read;
    int err;

    err = mw_proc_read_memory(&self->target.proc, &end);
    if (err != 0) {
        mw_window_list_forget(&self->windows, watch);
        mw_window_recording_close(self->writer, watch, ending, NULL);
        return err;
    }
    mw_window_list_add_hwm(&self->windows, end.hwm_bytes);
    mw_window_list_add_reading(&self->windows, end.rss_bytes);
    cpu_read = read_cpu(self, t_close_ns, &cpu);
    mw_window_list_close(&self->windows, watch, t_close_ns, &end);
    closing = (struct mw_closing){
        .cpu = cpu_read ? &cpu : NULL,
        .bound_bytes = mw_target_bound(&self->target, &watch->window.start, &end),
        .previous_rss_end_bytes =
            ending != NULL ? ending->previous_rss_end_bytes : MW_ABSENT,
    };
    mw_window_close(&watch->window, t_close_ns, &end, &closing, out);
    mw_window_recording_sample(self->writer, &self->windows, t_close_ns, end.rss_bytes);
    mw_window_recording_close(self->writer, watch, ending, out);
    return 0;
}

int
mw_sampler_close(struct mw_sampler *self, struct mw_watch *watch,
                 const struct mw_ending *ending, struct mw_result *out)
{
    int err = -ESTALE;

    pthread_mutex_lock(&self->lock);
    if (watch->open) {
        err = close_locked(self, watch, ending, out);
    }
    pthread_mutex_unlock(&self->lock);
    return err;
}

void
mw_sampler_set_line(struct mw_sampler *self, const struct mw_watch *watch, int64_t line)
{
    pthread_mutex_lock(&self->lock);
    if (watch->open && self->writer != NULL) {
        mw_blackbox_writer_set_line(self->writer, watch->cell_slot, line);
    }
    pthread_mutex_unlock(&self->lock);
}

int
mw_sampler_close_at_last_sample(struct mw_sampler *self, struct mw_watch *watch,
                                struct mw_result *out)
{
    int err = -ESTALE;

    pthread_mutex_lock(&self->lock);
    if (watch->open) {
        mw_window_list_forget(&self->windows, watch);
    }
    if (watch->unfinished) {
        struct mw_memory end;
        int64_t t_ns = mw_window_list_last_seen(&self->windows, watch, &end);

        struct mw_closing closing = {
            .bound_bytes = mw_target_bound(&self->target, &watch->window.start, &end),
            .previous_rss_end_bytes = MW_ABSENT,
        };

        mw_window_list_finish(watch, t_ns, &end);
        mw_window_close(&watch->window, t_ns, &end, &closing, out);
        mw_window_recording_close(self->writer, watch, NULL, out);
        err = 0;
    }
    pthread_mutex_unlock(&self->lock);
    return err;
}

void
mw_sampler_cancel(struct mw_sampler *self, struct mw_watch *watch)
{
    pthread_mutex_lock(&self->lock);
    if (watch->open) {
        mw_window_list_forget(&self->windows, watch);
        mw_window_recording_close(self->writer, watch, NULL, NULL);
    }
    pthread_mutex_unlock(&self->lock);
}
