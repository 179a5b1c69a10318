#include "ctls.h"

#include <fcntl.h>
#include <openssl/crypto.h>
#include <openssl/ssl.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

struct ctls {
  SSL_CTX *context;
  SSL *ssl;
  int socket;
  char name[CTLS_MOST_NAME + 1];
  uint8_t key[CTLS_KEY_BYTES];
  uint64_t since_key_update;
};

// AES-GCM with one key is good for 2^24.5 records of 16 KiB; this is far below.
static const uint64_t KEY_LIFE = 64ull << 30;

// Records go to the kernel a few at a time: a call for each costs as much as its encryption. More than this falls out of the cache.
static const long TOGETHER = 64 << 10;

// A pre-shared key is to OpenSSL a session that both ends remember.
static SSL_SESSION *remembered(SSL *ssl, const ctls *session) {
  static const unsigned char suite[] = {0x13, 0x01};  // TLS_AES_128_GCM_SHA256
  const SSL_CIPHER *cipher = SSL_CIPHER_find(ssl, suite);
  SSL_SESSION *made = cipher ? SSL_SESSION_new() : NULL;
  if (!made) return NULL;
  if (SSL_SESSION_set1_master_key(made, session->key, sizeof session->key) && SSL_SESSION_set_cipher(made, cipher) &&
      SSL_SESSION_set_protocol_version(made, TLS1_3_VERSION))
    return made;
  SSL_SESSION_free(made);
  return NULL;
}

static int use_key(SSL *ssl, const EVP_MD *digest, const unsigned char **identity, size_t *length, SSL_SESSION **found) {
  const ctls *session = SSL_get_app_data(ssl);
  *found = NULL;
  // After a HelloRetryRequest only a session of that digest may be used: there is one suite, so it is SHA-256.
  if (digest && !EVP_MD_is_a(digest, "SHA2-256")) return 1;
  *found = remembered(ssl, session);
  *identity = (const unsigned char *)session->name;
  *length = strlen(session->name);
  return *found != NULL;
}

static int find_key(SSL *ssl, const unsigned char *identity, size_t length, SSL_SESSION **found) {
  ctls *session = SSL_get_app_data(ssl);
  *found = NULL;
  if (length > CTLS_MOST_NAME || memchr(identity, 0, length)) return 1;
  memcpy(session->name, identity, length);
  session->name[length] = 0;
  *found = remembered(ssl, session);
  return *found != NULL;
}

static ctls *make(int socket, const uint8_t *key, const char *name) {
  ctls *session = calloc(1, sizeof *session);
  if (!session) return NULL;
  session->socket = socket;
  memcpy(session->key, key, sizeof session->key);
  if (name) strncpy(session->name, name, CTLS_MOST_NAME);
  SSL_CTX *context = session->context = SSL_CTX_new(name ? TLS_client_method() : TLS_server_method());
  int ready = context && SSL_CTX_set_min_proto_version(context, TLS1_3_VERSION) && SSL_CTX_set_max_proto_version(context, TLS1_3_VERSION) &&
              SSL_CTX_set_ciphersuites(context, "TLS_AES_128_GCM_SHA256") && SSL_CTX_set_num_tickets(context, 0) &&
              SSL_CTX_set_max_early_data(context, 0);
  if (ready) {
    // There is no certificate: without the key a handshake fails. DHE with the key: a key that leaks later opens nothing recorded before.
    SSL_CTX_set_psk_use_session_callback(context, use_key);
    SSL_CTX_set_psk_find_session_callback(context, find_key);
    SSL_CTX_set_session_cache_mode(context, SSL_SESS_CACHE_OFF);
    // One call to the kernel for several records, not two for each.
    SSL_CTX_set_read_ahead(context, 1);
    SSL_CTX_set_default_read_buffer_len(context, TOGETHER);
    SSL_CTX_set_options(context, SSL_OP_NO_COMPRESSION | SSL_OP_NO_RENEGOTIATION);
    if (name) SSL_CTX_set_verify(context, SSL_VERIFY_PEER, NULL);
    session->ssl = SSL_new(context);
    ready = session->ssl && SSL_set_fd(session->ssl, socket) && SSL_set_app_data(session->ssl, session);
  }
  if (ready) return session;
  ctls_free(session);
  return NULL;
}

ctls *ctls_dial(int socket, const uint8_t key[CTLS_KEY_BYTES], const char *name) { return make(socket, key, name); }
ctls *ctls_answer(int socket, const uint8_t key[CTLS_KEY_BYTES]) { return make(socket, key, NULL); }

// After the handshake, which waits for nothing that lies in a buffer.
static int gather_writes(SSL *ssl) {
  BIO *buffer = BIO_new(BIO_f_buffer()), *socket = SSL_get_wbio(ssl);
  if (!buffer || BIO_set_write_buffer_size(buffer, TOGETHER) != 1 || !BIO_up_ref(socket)) {
    BIO_free(buffer);
    return -1;
  }
  SSL_set0_wbio(ssl, BIO_push(buffer, socket));
  return 0;
}

static int64_t now(void) {
  struct timespec time;
  clock_gettime(CLOCK_MONOTONIC, &time);
  return time.tv_sec * 1000ll + time.tv_nsec / 1000000;
}

int ctls_handshake(ctls *session, int64_t milliseconds) {
  int64_t deadline = now() + milliseconds;
  int flags = fcntl(session->socket, F_GETFL), failed = -1;
  if (flags < 0 || fcntl(session->socket, F_SETFL, flags | O_NONBLOCK) < 0) return -1;
  while (1) {
    int done = SSL_is_server(session->ssl) ? SSL_accept(session->ssl) : SSL_connect(session->ssl);
    if (done == 1) {
      // Only a handshake that used the key counts, whatever else OpenSSL would take.
      failed = SSL_session_reused(session->ssl) ? gather_writes(session->ssl) : -1;
      break;
    }
    int why = SSL_get_error(session->ssl, done);
    int64_t left = deadline - now();
    if (left <= 0 || (why != SSL_ERROR_WANT_READ && why != SSL_ERROR_WANT_WRITE)) break;
    struct pollfd state = {.fd = session->socket, .events = why == SSL_ERROR_WANT_READ ? POLLIN : POLLOUT};
    poll(&state, 1, (int)left);
  }
  if (fcntl(session->socket, F_SETFL, flags) < 0) failed = -1;
  OPENSSL_cleanse(session->key, sizeof session->key);
  return failed;
}

const char *ctls_name(const ctls *session) { return session->name; }

int ctls_write(ctls *session, const void *bytes, uint64_t length) {
  if (session->since_key_update + length > KEY_LIFE) {
    session->since_key_update = 0;
    if (!SSL_key_update(session->ssl, SSL_KEY_UPDATE_NOT_REQUESTED)) return -1;
  }
  session->since_key_update += length;
  size_t written;
  while (length > 0) {
    if (SSL_write_ex(session->ssl, bytes, length, &written) != 1) return -1;
    bytes = (const char *)bytes + written;
    length -= written;
  }
  return BIO_flush(SSL_get_wbio(session->ssl)) == 1 ? 0 : -1;
}

int ctls_read(ctls *session, void *bytes, uint64_t length) {
  size_t got;
  while (length > 0) {
    if (SSL_read_ex(session->ssl, bytes, length, &got) != 1) return SSL_get_error(session->ssl, 0) == SSL_ERROR_ZERO_RETURN ? 0 : -1;
    bytes = (char *)bytes + got;
    length -= got;
  }
  return 1;
}

void ctls_free(ctls *session) {
  if (!session) return;
  SSL_free(session->ssl);
  SSL_CTX_free(session->context);
  OPENSSL_cleanse(session->key, sizeof session->key);
  free(session);
}
