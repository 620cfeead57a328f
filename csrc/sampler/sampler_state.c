#include "sampler/sampler_private.h"

#include "sampler/window_recording.h"

/* ---- status and configuration ---- */

struct mw_blackbox_writer *
mw_sampler_replace_writer(struct mw_sampler *self, struct mw_blackbox_writer *writer)
{
    struct mw_blackbox_writer *before;

    pthread_mutex_lock(&self->lock);
    before = self->writer;
    self->writer = writer;
    mw_window_recording_forget(
        &self->windows); /* their slots are the previous writer's */
    pthread_mutex_unlock(&self->lock);
    return before;
}

bool
mw_sampler_visit_writer(struct mw_sampler *self,
                        void (*visit)(const struct mw_blackbox_writer *, void *),
                        void *argument)
{
    bool has_writer;

    pthread_mutex_lock(&self->lock);
    has_writer = self->writer != NULL;
    if (has_writer) {
        visit(self->writer, argument);
    }
    pthread_mutex_unlock(&self->lock);
    return has_writer;
}

struct mw_accuracy
mw_sampler_accuracy(struct mw_sampler *self)
{
    struct mw_accuracy accuracy;

    pthread_mutex_lock(&self->lock);
    accuracy = self->target.accuracy;
    pthread_mutex_unlock(&self->lock);
    return accuracy;
}

void
mw_sampler_set_cpu_reader(struct mw_sampler *self, const struct mw_cpu_reader *reader)
{
    pthread_mutex_lock(&self->lock);
    self->cpu = reader != NULL ? *reader : (struct mw_cpu_reader){NULL, NULL};
    pthread_mutex_unlock(&self->lock);
}

void
mw_sampler_remove_cpu_reader(struct mw_sampler *self,
                             const struct mw_cpu_reader *reader)
{
    pthread_mutex_lock(&self->lock);
    if (self->cpu.self == reader->self) {
        self->cpu = (struct mw_cpu_reader){NULL, NULL};
    }
    pthread_mutex_unlock(&self->lock);
}

int
mw_sampler_read_memory(struct mw_sampler *self, struct mw_memory *out)
{
    int err;

    pthread_mutex_lock(&self->lock);
    err = mw_sampler_reopen_files(self);
    if (err == 0) {
        err = mw_proc_read_memory(&self->target.proc, out);
    }
    if (err == 0) {
        mw_window_list_add_hwm(&self->windows, out->hwm_bytes);
    }
    pthread_mutex_unlock(&self->lock);
    return err;
}

void
mw_sampler_read_status(struct mw_sampler *self, struct mw_sampler_status *out)
{
    pthread_mutex_lock(&self->lock);
    *out = (struct mw_sampler_status){
        .samples = self->samples,
        .missed = self->missed,
        .lifetime_peak_bytes = self->windows.lifetime_peak_bytes,
        .open_windows = self->windows.count,
        .running = self->ticker != NULL,
        .parked =
            self->ticker != NULL && mw_ticker_due_ns(self->ticker) == MW_TICKER_NEVER,
    };
    pthread_mutex_unlock(&self->lock);
}

/* ---- fork ---- */

void
mw_sampler_before_fork(struct mw_sampler *self)
{
    struct mw_ticker *idle = NULL;

    /* Stop an idle thread, so that it does not make Python warn about fork() in a
     * process with threads. While a window is open its samples are needed. */
    pthread_mutex_lock(&self->lock);
    if (self->windows.newest == NULL) {
        idle = self->ticker;
        self->ticker = NULL;
    }
    pthread_mutex_unlock(&self->lock);
    mw_ticker_free(&idle);

    /* Held until after fork(): the child inherits a consistent state. */
    pthread_mutex_lock(&self->lock);
}

void
mw_sampler_after_fork_in_parent(struct mw_sampler *self)
{
    pthread_mutex_unlock(&self->lock);
}

void
mw_sampler_after_fork_in_child(struct mw_sampler *self)
{
    pthread_mutex_init(&self->lock, NULL); /* its owner is in the parent */
    pthread_mutex_init(&self->files, NULL);
    mw_ticker_abandon(&self->ticker);
    /* The descriptors share their file offsets with the parent's. */
    self->cpu = (struct mw_cpu_reader){NULL, NULL};
    mw_proc_close(&self->target.proc);
    mw_blackbox_writer_free(&self->writer);
    while (self->windows.newest != NULL) {
        mw_window_list_forget(&self->windows, self->windows.newest);
    }
}
