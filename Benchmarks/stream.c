/* A provider that moves nothing but bytes: `transfer` sends as many as the item says, from memory, `receive` counts them and forgets them.
 * What a run with it takes is what a channel takes. `to: { first: FILE }` leaves there when the first byte came, in seconds since 1970. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "ferry/plugin.h"

enum { CHUNK = 1 << 20 };

typedef struct {
  const ferry_host *host;
  long long bytes;
  unsigned char *chunk;
  char first[4096];
} stream;

static ferry_status create(const ferry_host *host, const ferry_item *item, void **self) {
  stream *made = calloc(1, sizeof *made);
  const ferry_json *json = host->get_service(host, "ferry.json/1");
  char text[32] = "0";
  uint64_t length;
  if (!made || !(made->chunk = malloc(CHUNK)) || !json) return FERRY_INTERNAL;
  if (item->side == FERRY_SOURCE && json->get(host, item->config, "/endpoint/bytes", text, sizeof text, &length) != FERRY_OK) return FERRY_INVALID;
  if (item->side == FERRY_DESTINATION && json->get(host, item->config, "/endpoint/first", made->first, sizeof made->first, &length) != FERRY_OK)
    made->first[0] = 0;
  made->host = host;
  made->bytes = atoll(text);
  /* Nothing that could be compressed. */
  uint64_t state = 88172645463325252ull;
  for (int i = 0; i < CHUNK; i += 8) {
    state ^= state << 13, state ^= state >> 7, state ^= state << 17;
    memcpy(made->chunk + i, &state, 8);
  }
  *self = made;
  return FERRY_OK;
}

static void destroy(void *self) {
  free(((stream *)self)->chunk);
  free(self);
}

static ferry_status answer(stream *self, long long bytes) {
  char line[64];
  snprintf(line, sizeof line, "{\"bytes\": %lld, \"entries\": 1}", bytes);
  self->host->reply(self->host, line);
  return FERRY_OK;
}

static ferry_status transfer(void *self, const ferry_args *args) {
  stream *me = self;
  /* All of it in the first pass; a later one has nothing to add. */
  long long left = args->pass == 0 ? me->bytes : 0;
  while (left > 0) {
    ssize_t sent = write(args->channels[0], me->chunk, left < CHUNK ? (size_t)left : CHUNK);
    if (sent <= 0) return FERRY_PEER;
    left -= sent;
  }
  shutdown(args->channels[0], SHUT_WR);
  return answer(me, args->pass == 0 ? me->bytes : 0);
}

static void stamp(const char *path) {
  struct timespec now;
  clock_gettime(CLOCK_REALTIME, &now);
  FILE *file = *path ? fopen(path, "wxe") : NULL;
  if (!file) return;
  fprintf(file, "%lld.%09ld", (long long)now.tv_sec, now.tv_nsec);
  fclose(file);
}

static ferry_status receive(void *self, const ferry_args *args) {
  stream *me = self;
  long long bytes = 0;
  ssize_t got;
  while ((got = read(args->channels[0], me->chunk, CHUNK)) > 0) {
    if (bytes == 0) stamp(me->first);
    bytes += got;
  }
  return got < 0 ? FERRY_PEER : answer(me, bytes);
}

static ferry_status prepare(void *self, const ferry_args *args) {
  (void)args;
  stream *me = self;
  me->host->reply(me->host, "{\"target\": \"private\"}");
  return FERRY_OK;
}

static ferry_status digest(void *self, const ferry_args *args) {
  (void)args;
  stream *me = self;
  me->host->reply(me->host, "{\"root\": \"00\", \"entries\": 1, \"bytes\": 1}");
  return FERRY_OK;
}

static ferry_status nothing(void *self, const ferry_args *args) {
  (void)self, (void)args;
  return FERRY_OK;
}

const ferry_module *ferry_module_v1(void) {
  static const ferry_provider provider = {
      .struct_size = sizeof provider,
      .id = "bench-stream",
      .summary = "bytes from memory, to nowhere",
      .schema = "{\"type\": \"object\", \"properties\": {\"from\": {\"type\": \"object\", \"properties\": {\"bytes\": {\"type\": \"integer\"}}},"
                " \"to\": {\"type\": \"object\", \"properties\": {\"first\": {\"type\": \"string\"}}}}}",
      .create = create,
      .destroy = destroy,
      .check = nothing,
      .prepare = prepare,
      .transfer = transfer,
      .receive = receive,
      .digest = digest,
      .activate = nothing,
      .deactivate = nothing,
      .discard = nothing,
      .release = nothing,
      .retire = nothing,
  };
  static const ferry_provider *const providers[] = {&provider};
  static const ferry_module module = {
      .struct_size = sizeof module,
      .abi_minor = FERRY_ABI_MINOR,
      .name = "Stream",
      .version = "1",
      .vendor = "Ferry",
      .provider_count = 1,
      .providers = providers,
  };
  return &module;
}
