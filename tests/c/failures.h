/* What tests of failing calls share; faults.c makes the calls fail. */

#ifndef MW_TEST_FAILURES_H
#define MW_TEST_FAILURES_H

#include "support.h"

#include <signal.h>
#include <stdbool.h>

#include "base/clock.h"
#include "blackbox/reader.h"
#include "faults.h"
#include "linux/accuracy.h"
#include "linux/cgroup/limit.h"
#include "linux/probe.h"
#include "sampler/process_sampler.h"

/* What is not given back shows here, or to the sanitizer that looks for leaks. */
struct held {
    int files;
    int64_t mapped_bytes;
    int live_objects;
};

static inline struct held
held_now(void)
{
    return (struct held){count_descriptors(), faults_mapped_bytes(),
                         faults_live_objects()};
}

static inline void
expect_held(const struct held *before)
{
    struct held now = held_now();

    assert_int_equal(now.files, before->files);
    assert_int_equal(now.mapped_bytes, before->mapped_bytes);
    assert_int_equal(now.live_objects, before->live_objects);
}

struct operation {
    int (*run)(void *context);                   /* 0 or -errno; undoes what it did */
    bool (*survives)(const struct fault *fault); /* NULL: nothing is survived */
    void *context;
};

/* Have the first call fail, then the second, until the operation is through before
 * one did. Returns how many failed. */
static inline int
walk(struct operation operation)
{
    struct held before = held_now();

    for (int nth = 1;; nth++) {
        struct fault fault;
        int err;

        faults_arm(nth);
        err = operation.run(operation.context);
        fault = faults_disarm();
        expect_held(&before);
        if (fault.call == NULL) {
            assert_int_equal(err, 0);
            return nth - 1;
        }
        if (err == 0 && (operation.survives == NULL || !operation.survives(&fault))) {
            fail_msg("%s %s failed, and nobody noticed", fault.call, fault.path);
        }
        if (err != 0 && err != -fault.err) {
            fail_msg("%s %s: %d became %d", fault.call, fault.path, -fault.err, err);
        }
        /* At the next try all is well. */
        faults_arm(0);
        assert_int_equal(operation.run(operation.context), 0);
    }
}

/* A signal may interrupt every call that it can: nobody notices. */
static inline int
walk_interrupted(struct operation operation)
{
    for (int nth = 1;; nth++) {
        faults_interrupt(nth);
        assert_int_equal(operation.run(operation.context), 0);
        if (faults_disarm().call == NULL) {
            return nth - 1;
        }
    }
}

static inline bool
is(const char *call, const char *expected)
{
    return strcmp(call, expected) == 0;
}

static inline bool
ends_with(const char *path, const char *end)
{
    size_t length = strlen(path);

    return length >= strlen(end) && is(path + length - strlen(end), end);
}

static inline int
refuse_or_count(void *self, struct mw_cpu *out)
{
    int *readings = self;

    if (*readings < 0) {
        return -EIO;
    }
    ++*readings;
    *out = (struct mw_cpu){INT64_C(10) * *readings, INT64_C(20) * *readings, 70, 20};
    return 0;
}

#endif
