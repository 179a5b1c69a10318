#include "ccurl.h"

#include <curl/curl.h>
#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

typedef struct call {
  const ccurl_request *request;
  CURL *easy;
  int ended;
  curl_off_t moved;
  int64_t silent_since;
} call;

static pthread_once_t once = PTHREAD_ONCE_INIT;
static void initialise(void) { curl_global_init(CURL_GLOBAL_NOTHING); }

static int64_t now_in_ms(void) {
  struct timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

static size_t take(char *bytes, size_t one, size_t count, void *argument) {
  call *self = argument;
  long status = 0;
  curl_easy_getinfo(self->easy, CURLINFO_RESPONSE_CODE, &status);
  size_t length = one * count;
  if (self->request->take(self->request->context, status, bytes, length)) return length;
  self->ended = 1;
  return CURL_WRITEFUNC_ERROR;
}

static size_t give(char *buffer, size_t one, size_t count, void *argument) {
  call *self = argument;
  int64_t length = self->request->give(self->request->context, buffer, one * count);
  if (length >= 0) return (size_t)length;
  self->ended = 1;
  return CURL_READFUNC_ABORT;
}

static size_t head(char *bytes, size_t one, size_t count, void *argument) {
  call *self = argument;
  self->request->header(self->request->context, bytes, one * count);
  return one * count;
}

static CURLcode configure(call *self, struct curl_slist *headers, char *words) {
  const ccurl_request *request = self->request;
  CURL *easy = self->easy;
  int has_body = request->body_length != CCURL_NO_BODY;
  CURLcode code = CURLE_OK;
#define SET(option, value) \
  if (code == CURLE_OK) code = curl_easy_setopt(easy, option, value)
  SET(CURLOPT_URL, request->url);
  SET(CURLOPT_CUSTOMREQUEST, request->method);
  if (request->unix_socket) SET(CURLOPT_UNIX_SOCKET_PATH, request->unix_socket);
  // An engine's socket is nobody's proxy, whatever the environment says.
  SET(CURLOPT_PROXY, "");
  SET(CURLOPT_PROTOCOLS_STR, "http,https");
  if (request->header) {
    SET(CURLOPT_HEADERFUNCTION, head);
    SET(CURLOPT_HEADERDATA, self);
  }
  if (request->authority) SET(CURLOPT_CAINFO, request->authority);
  if (request->certificate) SET(CURLOPT_SSLCERT, request->certificate);
  if (request->private_key) SET(CURLOPT_SSLKEY, request->private_key);
  SET(CURLOPT_HTTP_VERSION, (long)CURL_HTTP_VERSION_1_1);
  SET(CURLOPT_NOSIGNAL, 1L);
  SET(CURLOPT_HTTPHEADER, headers);
  SET(CURLOPT_ERRORBUFFER, words);
  SET(CURLOPT_BUFFERSIZE, (long)CURL_MAX_READ_SIZE);
  SET(CURLOPT_UPLOAD_BUFFERSIZE, (long)(1 << 20));
  SET(CURLOPT_WRITEFUNCTION, take);
  SET(CURLOPT_WRITEDATA, self);
  if (has_body) {
    SET(CURLOPT_UPLOAD, 1L);
    SET(CURLOPT_READFUNCTION, give);
    SET(CURLOPT_READDATA, self);
    if (request->body_length >= 0) SET(CURLOPT_INFILESIZE_LARGE, (curl_off_t)request->body_length);
  }
  if (strcmp(request->method, "HEAD") == 0) SET(CURLOPT_NOBODY, 1L);
#undef SET
  return code;
}

// Whether anything moved lately. curl's own low-speed limit counts an engine's silence before its first byte as well, as it should,
// but not while a callback of ours waits: then it is us.
static int is_silent(call *self) {
  if (!self->request->silence_seconds) return 0;
  curl_off_t down = 0, up = 0;
  curl_easy_getinfo(self->easy, CURLINFO_SIZE_DOWNLOAD_T, &down);
  curl_easy_getinfo(self->easy, CURLINFO_SIZE_UPLOAD_T, &up);
  if (down + up != self->moved || !self->silent_since) {
    self->moved = down + up;
    self->silent_since = now_in_ms();
  }
  return now_in_ms() - self->silent_since > self->request->silence_seconds * 1000;
}

static int drive(call *self, CURLM *multi, CURLcode *code) {
  int running = 1;
  while (running) {
    if (curl_multi_perform(multi, &running) != CURLM_OK) return CCURL_FAILED;
    if (!running) break;
    struct curl_waitfd cancel = {.fd = self->request->cancel_fd, .events = CURL_WAIT_POLLIN};
    unsigned extra = self->request->cancel_fd >= 0;
    if (curl_multi_poll(multi, extra ? &cancel : NULL, extra, 1000, NULL) != CURLM_OK) return CCURL_FAILED;
    if (extra && cancel.revents) return CCURL_CANCELLED;
    if (is_silent(self)) return CCURL_SILENT;
  }
  int left;
  for (CURLMsg *message; (message = curl_multi_info_read(multi, &left));) {
    if (message->msg == CURLMSG_DONE) *code = message->data.result;
  }
  return CCURL_DONE;
}

int ccurl_perform(const ccurl_request *request, long *status, char *words, uint64_t capacity) {
  pthread_once(&once, initialise);
  char buffer[CURL_ERROR_SIZE] = "";
  call self = {.request = request, .easy = curl_easy_init()};
  CURLM *multi = curl_multi_init();
  struct curl_slist *headers = NULL;
  // Engines answer a large body at once or not at all: nobody waits for their "100 Continue".
  headers = curl_slist_append(headers, "Expect:");
  for (const char *const *header = request->headers; header && *header; header++) headers = curl_slist_append(headers, *header);
  int outcome = CCURL_FAILED;
  CURLcode code = CURLE_OUT_OF_MEMORY;
  *status = 0;
  if (self.easy && multi && headers) {
    code = configure(&self, headers, buffer);
    if (code == CURLE_OK && curl_multi_add_handle(multi, self.easy) == CURLM_OK) {
      code = CURLE_FAILED_INIT;
      outcome = drive(&self, multi, &code);
      curl_easy_getinfo(self.easy, CURLINFO_RESPONSE_CODE, status);
      curl_multi_remove_handle(multi, self.easy);
    }
  }
  if (outcome == CCURL_DONE && code != CURLE_OK) {
    switch (code) {
      case CURLE_COULDNT_CONNECT:
      case CURLE_COULDNT_RESOLVE_HOST: outcome = CCURL_UNREACHABLE; break;
      case CURLE_GOT_NOTHING:
      case CURLE_PARTIAL_FILE:
      case CURLE_SEND_ERROR:
      case CURLE_RECV_ERROR: outcome = CCURL_CUT; break;
      default: outcome = CCURL_FAILED;
    }
  }
  if (self.ended) outcome = CCURL_ENDED;
  if (!buffer[0] && code != CURLE_OK) snprintf(buffer, sizeof buffer, "%s", curl_easy_strerror(code));
  snprintf(words, capacity, "%s", buffer);
  curl_easy_cleanup(self.easy);
  if (multi) curl_multi_cleanup(multi);
  curl_slist_free_all(headers);
  return outcome;
}
