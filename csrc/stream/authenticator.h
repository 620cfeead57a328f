/* Who may connect to a socket that uses CURVE keys, and the keys themselves.
 *
 * libzmq asks by ZAP (https://rfc.zeromq.org/spec/27) before it accepts a connection.
 * One authenticator a context, one thread at a time.
 *
 *     err = mw_authenticator_new(&authenticator, context, public_keys, 2);
 *     ...
 *     refused += mw_authenticator_answer(authenticator); // often
 *     mw_authenticator_free(&authenticator);             // before zmq_ctx_term()
 */

#ifndef MW_STREAM_AUTHENTICATOR_H
#define MW_STREAM_AUTHENTICATOR_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { MW_CURVE_KEY_CHARACTERS = 40 }; /* Z85 text */

struct mw_authenticator; /* opaque */

/* Admit the peers with these public keys. The caller owns *out and frees it. Returns 0
 * or -errno; -EINVAL: a key is invalid. */
int mw_authenticator_new(struct mw_authenticator **out, void *context,
                         const char *const *keys, size_t count);

void mw_authenticator_free(struct mw_authenticator **out);

/* Answer the requests that have arrived, without waiting. Returns how many were
 * refused.
 */
int64_t mw_authenticator_answer(struct mw_authenticator *self);

/* Create a pair of keys, as texts with a NUL. Returns 0 or -errno; -ENOTSUP: libzmq was
 * built without CURVE. */
int mw_curve_make_keys(char public_key[MW_CURVE_KEY_CHARACTERS + 1],
                       char secret_key[MW_CURVE_KEY_CHARACTERS + 1]);

/* The public key of a secret key. Returns 0 or -errno; -EINVAL: the key is invalid. */
int mw_curve_public_key(const char *secret_key,
                        char public_key[MW_CURVE_KEY_CHARACTERS + 1]);

#endif
