// One HTTP request through libcurl, whose options are variadic: what Swift cannot call.
#ifndef CCURL_H
#define CCURL_H
#include <stdint.h>

enum { CCURL_NO_BODY = -1, CCURL_BODY_OF_ANY_LENGTH = -2 };

typedef struct ccurl_request {
  const char *method;
  const char *url;
  const char *unix_socket;     // NULL: the URL's host is dialled
  const char *const *headers;  // NULL at the end
  int64_t body_length;         // or CCURL_NO_BODY, CCURL_BODY_OF_ANY_LENGTH
  int cancel_fd;               // readable: the request ends. -1: never
  int64_t silence_seconds;     // ends when not a byte has moved for so long. 0: never
  const char *authority;       // for https: a file with the certificates to trust. NULL: the system's
  const char *certificate;     // for https: a file with our own, and one with its key. NULL: none
  const char *private_key;
  void *context;
  // A part of the answer, with the answer's status. 0 ends the request.
  int (*take)(void *context, long status, const char *bytes, uint64_t length);
  // More of the body: how much was put into the buffer, 0 at its end, -1 ends the request.
  int64_t (*give)(void *context, char *buffer, uint64_t capacity);
  // A line of the answer's head. NULL: nobody listens.
  void (*header)(void *context, const char *bytes, uint64_t length);
} ccurl_request;

enum {
  CCURL_DONE = 0,
  CCURL_CANCELLED = 1,  // by cancel_fd
  CCURL_ENDED = 2,      // by `take` or `give`
  CCURL_UNREACHABLE = 3,
  CCURL_SILENT = 4,
  CCURL_CUT = 5,     // the connection ended before the answer did
  CCURL_FAILED = 6,  // anything else
};

// The answer's status goes to *status (0: there was none), libcurl's words about a failure to `words`.
int ccurl_perform(const ccurl_request *request, long *status, char *words, uint64_t capacity);
#endif
