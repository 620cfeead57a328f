#include "mw_recording.h"

#include <string.h>

int
mw_recording_start(struct mw_sampler *sampler, const char *path, const char *copy,
                   const struct mw_box_identity *given)
{
    struct mw_sampler_status status;
    struct mw_recorder *recorder;
    int err;

    mw_sampler_read_status(sampler, &status);
    err = mw_recorder_new(&recorder, path, copy, given, status.lifetime_peak_bytes);
    if (err == 0) {
        recorder = mw_sampler_replace_recorder(sampler, recorder);
        mw_recorder_free(&recorder);
    }
    return err;
}

void
mw_recording_stop(struct mw_sampler *sampler)
{
    struct mw_recorder *recorder = mw_sampler_replace_recorder(sampler, NULL);

    mw_recorder_free(&recorder);
}

static void
look(const struct mw_recorder *recorder, void *argument)
{
    struct mw_recording *out = argument;
    const char *path = mw_recorder_path(recorder);

    out->copy_errno = mw_recorder_copy_errno(recorder);
    memcpy(out->path, path, strlen(path) + 1);
}

bool
mw_recording_read(struct mw_sampler *sampler, struct mw_recording *out)
{
    return mw_sampler_look_at_recorder(sampler, look, out);
}

static void
look_whether_lost(const struct mw_recorder *recorder, void *out)
{
    *(bool *)out = mw_recorder_is_lost(recorder);
}

bool
mw_recording_is_lost(struct mw_sampler *sampler)
{
    bool is_lost = false;

    mw_sampler_look_at_recorder(sampler, look_whether_lost, &is_lost);
    return is_lost;
}
