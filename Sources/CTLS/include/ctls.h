// TLS 1.3 with one external pre-shared key, over a connected socket: what Swift cannot import of OpenSSL (macros, callbacks).
// One session is one TCP connection that carries data one way: one thread writes at the one end, one reads at the other.
#ifndef CTLS_H
#define CTLS_H
#include <stdint.h>

enum { CTLS_KEY_BYTES = 32, CTLS_MOST_NAME = 31 };

typedef struct ctls ctls;

// The dialler says which stream this is; the name crosses the network in the clear and is bound to the key by the handshake.
// NULL: no memory. The socket stays the caller's; it must outlive the session.
ctls *ctls_dial(int socket, const uint8_t key[CTLS_KEY_BYTES], const char *name);
ctls *ctls_answer(int socket, const uint8_t key[CTLS_KEY_BYTES]);

// Proves to each end that the other has the key. Ends after `milliseconds` whatever the other end does. 0, or -1.
int ctls_handshake(ctls *session, int64_t milliseconds);
// The stream's name; after a handshake.
const char *ctls_name(const ctls *session);

// All of it, or -1. A thread that shuts the socket down ends both.
int ctls_write(ctls *session, const void *bytes, uint64_t length);
// All of it: 1. 0 or -1: the connection ended before, or what came is not what was sent.
int ctls_read(ctls *session, void *bytes, uint64_t length);

void ctls_free(ctls *session);
#endif
