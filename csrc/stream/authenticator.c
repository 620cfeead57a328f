#include "stream/authenticator.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <zmq.h>

enum {
    KEY_BYTES = 32,
    ANSWERS_AT_ONCE = 64,
    /* Frames of a request: version, request, domain, address, identity, mechanism,
     * key. */
    ZAP_REQUEST = 1,
    ZAP_KEY = 6,
    ZAP_FRAMES = 7,
};

struct mw_authenticator {
    void *zap; /* libzmq's requests arrive here */
    uint8_t (*admitted)[KEY_BYTES];
    size_t admitted_count;
};

struct zap_frame {
    char bytes[64];
    size_t length;
};

/* ---- answering ---- */

static bool
is_admitted(const struct mw_authenticator *self, const struct zap_frame *key)
{
    for (size_t i = 0; i < self->admitted_count; i++) {
        if (key->length == KEY_BYTES &&
            memcmp(key->bytes, self->admitted[i], KEY_BYTES) == 0) {
            return true;
        }
    }
    return false;
}

/* Receive one request; false if there is none. A frame that is too long has length 0,
 * which is no key. */
static bool
receive_request(void *zap, struct zap_frame frames[ZAP_FRAMES], int *count)
{
    int more = 1;
    size_t size = sizeof more;

    for (*count = 0; more; (*count)++) {
        struct zap_frame rest;
        struct zap_frame *frame = *count < ZAP_FRAMES ? &frames[*count] : &rest;
        int got = zmq_recv(zap, frame->bytes, sizeof frame->bytes, ZMQ_DONTWAIT);

        if (got < 0) {
            return false;
        }
        frame->length = (size_t)got < sizeof frame->bytes ? (size_t)got : 0;
        if (zmq_getsockopt(zap, ZMQ_RCVMORE, &more, &size) != 0) {
            return false;
        }
    }
    return true;
}

int64_t
mw_authenticator_answer(struct mw_authenticator *self)
{
    struct zap_frame frames[ZAP_FRAMES];
    int64_t refused = 0;
    int count;

    for (int i = 0; i < ANSWERS_AT_ONCE; i++) {
        if (!receive_request(self->zap, frames, &count)) {
            break;
        }
        const struct zap_frame *request = &frames[ZAP_REQUEST];
        bool admitted = count == ZAP_FRAMES && is_admitted(self, &frames[ZAP_KEY]);
        const char *status = admitted ? "200" : "400";

        refused += !admitted;
        zmq_send(self->zap, "1.0", 3, ZMQ_SNDMORE | ZMQ_DONTWAIT);
        zmq_send(self->zap, request->bytes, count > ZAP_REQUEST ? request->length : 0,
                 ZMQ_SNDMORE | ZMQ_DONTWAIT);
        zmq_send(self->zap, status, 3, ZMQ_SNDMORE | ZMQ_DONTWAIT);
        zmq_send(self->zap, "", 0, ZMQ_SNDMORE | ZMQ_DONTWAIT);
        zmq_send(self->zap, "", 0, ZMQ_SNDMORE | ZMQ_DONTWAIT);
        zmq_send(self->zap, "", 0, ZMQ_DONTWAIT);
    }
    return refused;
}

/* ---- setting up ---- */

static int
decode_keys(struct mw_authenticator *self, const char *const *keys, size_t count)
{
    self->admitted = calloc(count + 1, sizeof *self->admitted);
    if (self->admitted == NULL) {
        return -ENOMEM;
    }
    for (; self->admitted_count < count; self->admitted_count++) {
        const char *key = keys[self->admitted_count];

        if (strlen(key) != MW_CURVE_KEY_CHARACTERS ||
            zmq_z85_decode(self->admitted[self->admitted_count], key) == NULL) {
            return -EINVAL;
        }
    }
    return 0;
}

static int
bind_zap(struct mw_authenticator *self, void *context)
{
    int no_wait = 0;

    self->zap = zmq_socket(context, ZMQ_REP);
    if (self->zap == NULL ||
        zmq_setsockopt(self->zap, ZMQ_LINGER, &no_wait, sizeof no_wait) != 0 ||
        zmq_bind(self->zap, "inproc://zeromq.zap.01") != 0) {
        return -zmq_errno();
    }
    return 0;
}

int
mw_authenticator_new(struct mw_authenticator **out, void *context,
                     const char *const *keys, size_t count)
{
    struct mw_authenticator *self = calloc(1, sizeof *self);
    int err;

    if (self == NULL) {
        return -ENOMEM;
    }
    err = decode_keys(self, keys, count);
    if (err == 0) {
        err = bind_zap(self, context);
    }
    if (err != 0) {
        mw_authenticator_free(&self);
        return err;
    }
    *out = self;
    return 0;
}

void
mw_authenticator_free(struct mw_authenticator **out)
{
    struct mw_authenticator *self = *out;

    if (self == NULL) {
        return;
    }
    *out = NULL;
    if (self->zap != NULL) {
        zmq_close(self->zap);
    }
    free(self->admitted);
    free(self);
}

/* ---- keys ---- */

int
mw_curve_make_keys(char public_key[MW_CURVE_KEY_CHARACTERS + 1],
                   char secret_key[MW_CURVE_KEY_CHARACTERS + 1])
{
    return zmq_curve_keypair(public_key, secret_key) == 0 ? 0 : -zmq_errno();
}

int
mw_curve_public_key(const char *secret_key,
                    char public_key[MW_CURVE_KEY_CHARACTERS + 1])
{
    if (strlen(secret_key) != MW_CURVE_KEY_CHARACTERS) {
        return -EINVAL;
    }
    return zmq_curve_public(public_key, secret_key) == 0 ? 0 : -zmq_errno();
}
