/* A whole Ferry plugin in plain C: the provider example-file moves one regular file, its content and its mode.
 *
 *     cc -shared -fPIC -IINCLUDE -o example-file.so FILE.c      INCLUDE: the folder of ferry/plugin.h
 *
 * Both ends are here: transfer() is transfer-state at the source, receive() is receive-state at the destination. At the destination the
 * file is received under a name of the run's own beside its target and gets its real name in activate(); what was there before is kept
 * under another such name until release(). */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "ferry/plugin.h"

typedef struct {
  const ferry_host *host;
  const ferry_progress *progress;
  const ferry_kv *kv;
  const ferry_json *json;
  int32_t side;
  char path[PATH_MAX], folder[PATH_MAX];
  char staged[PATH_MAX], part[PATH_MAX], kept[PATH_MAX]; /* destination: received whole, being received, what was there before */
  atomic_bool cancelled;
  atomic_int channel; /* what a cancelled call may be waiting for, or -1 */
} instance;

/* Says what happened and where; the class is what the call then returns. */
__attribute__((format(printf, 4, 5))) static ferry_status fail(const ferry_host *host, ferry_status status, const char *hint,
                                                               const char *format, ...) {
  char message[PATH_MAX + 256];
  va_list values;
  va_start(values, format);
  vsnprintf(message, sizeof message, format, values);
  va_end(values);
  host->fail(host, message, hint);
  return status;
}

static ferry_status system_error(const instance *me, const char *what, const char *path) {
  int code = errno;
  ferry_status status = code == ENOENT ? FERRY_NOT_FOUND : code == EACCES || code == EPERM ? FERRY_PRECONDITION : FERRY_IO;
  return fail(me->host, status, "", "cannot %s %s: %s", what, path, strerror(code));
}

/* The text at a JSON Pointer; whether there is one that fits. */
static int text_at(const instance *me, const char *json, const char *pointer, char *text, size_t size) {
  uint64_t length;
  return me->json->get(me->host, json, pointer, text, size, &length) == FERRY_OK && length < size;
}

/* ---- Files and channels ------------------------------------------------------------------------------------------------------- */

static int exists(const char *path) {
  struct stat status;
  return lstat(path, &status) == 0;
}

/* Opens a regular file and nothing else: no link, no pipe that would block. */
static int open_file(const char *path, struct stat *status) {
  int file = open(path, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
  if (file < 0) return -1;
  if (fstat(file, status) == 0 && S_ISREG(status->st_mode)) return file;
  close(file);
  return errno = EINVAL, -1;
}

/* A new name is safe once its folder is on disk. */
static int sync_folder(const instance *me) {
  int folder = open(me->folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (folder < 0) return -1;
  int failed = fsync(folder);
  close(folder);
  return failed;
}

/* Sends or receives all of it. */
static int exchange(ssize_t (*step)(int, void *, size_t), int descriptor, void *bytes, size_t length) {
  for (char *at = bytes; length > 0;) {
    ssize_t count = step(descriptor, at, length);
    if (count < 0 && errno == EINTR) continue;
    if (count == 0) errno = ECONNRESET;
    if (count <= 0) return -1;
    at += count, length -= (size_t)count;
  }
  return 0;
}
static ssize_t send_some(int channel, void *bytes, size_t length) { return send(channel, bytes, length, MSG_NOSIGNAL); }
static ssize_t receive_some(int channel, void *bytes, size_t length) { return recv(channel, bytes, length, 0); }
static ssize_t write_some(int file, void *bytes, size_t length) { return write(file, bytes, length); }

static void report(const instance *me, uint64_t bytes, uint64_t total) {
  ferry_progress_report now = {.struct_size = sizeof now, .bytes = bytes, .bytes_total = total, .entries_total = 1};
  me->progress->report(me->host, &now);
}

__attribute__((format(printf, 2, 3))) static ferry_status reply(const instance *me, const char *format, ...) {
  char json[256];
  va_list values;
  va_start(values, format);
  vsnprintf(json, sizeof json, format, values);
  va_end(values);
  me->host->reply(me->host, json);
  return FERRY_OK;
}

/* ---- An instance -------------------------------------------------------------------------------------------------------------- */

static ferry_status create(const ferry_host *host, const ferry_item *item, void **self) {
  instance *me = calloc(1, sizeof *me);
  if (!me) return fail(host, FERRY_IO, "", "no memory");
  me->host = host;
  me->side = item->side;
  me->progress = host->get_service(host, "ferry.progress/1");
  me->kv = host->get_service(host, "ferry.kv/1");
  me->json = host->get_service(host, "ferry.json/1");
  atomic_init(&me->channel, -1);
  ferry_status status = FERRY_OK;
  char *name;
  if (!me->progress || !me->kv || !me->json) {
    status = fail(host, FERRY_UNSUPPORTED, "use a newer Ferry on this node", "this host lacks the progress, kv or json service");
  } else if (!text_at(me, item->config, "/endpoint/file", me->path, sizeof me->path) || me->path[0] != '/' ||
             !(name = strrchr(me->path, '/'))[1]) {
    status = fail(host, FERRY_INVALID, "write {file: /path/to/file}", "item '%s' needs the absolute path of a file", item->name);
  } else {
    snprintf(me->folder, sizeof me->folder, "%.*s", (int)(name + 1 - me->path), me->path);
    int a = snprintf(me->staged, sizeof me->staged, "%s.%s.ferry-%s", me->folder, name + 1, item->run);
    int b = snprintf(me->part, sizeof me->part, "%s.part", me->staged);
    int c = snprintf(me->kept, sizeof me->kept, "%s.kept", me->staged);
    if (a >= PATH_MAX || b >= PATH_MAX || c >= PATH_MAX) status = fail(host, FERRY_INVALID, "", "the path is too long: %s", me->path);
  }
  *self = status == FERRY_OK ? me : (free(me), NULL);
  return status;
}

static ferry_status check(void *self, const ferry_args *args) {
  instance *me = self;
  struct stat status;
  (void)args;
  if (me->side == FERRY_SOURCE) {
    int file = open_file(me->path, &status);
    if (file < 0) return system_error(me, "read", me->path);
    close(file);
    return reply(me, "{\"bytes\": %jd, \"entries\": 1}", (intmax_t)status.st_size);
  }
  struct statvfs room;
  if (statvfs(me->folder, &room) != 0) return system_error(me, "use the folder", me->folder);
  if (access(me->folder, W_OK) != 0) return system_error(me, "write into", me->folder);
  if (lstat(me->path, &status) == 0 && !S_ISREG(status.st_mode))
    return fail(me->host, FERRY_CONFLICT, "move it away, or choose another path", "%s exists and is no regular file", me->path);
  return reply(me, "{\"room\": %ju}", (uintmax_t)room.f_bavail * room.f_frsize);
}

static ferry_status prepare(void *self, const ferry_args *args) {
  instance *me = self;
  (void)args;
  return me->side == FERRY_DESTINATION ? reply(me, "{\"target\": \"private\"}") : FERRY_OK;
}

/* On the channel: blocks of a length (4 bytes, big endian) and as many bytes, a block of length 0, and the mode as 4 bytes. */
enum { BLOCK = 65536 };
static void put_number(unsigned char *at, uint32_t number) {
  for (int i = 0; i < 4; i++) at[i] = (unsigned char)(number >> (24 - 8 * i));
}
static uint32_t get_number(const unsigned char *at) { return (uint32_t)at[0] << 24 | (uint32_t)at[1] << 16 | (uint32_t)at[2] << 8 | at[3]; }

/* What both halves of a pass begin and end with. A cancelled call finds its channel shut down. */
static ferry_status begin_pass(instance *me, const ferry_args *args) {
  if (args->flags & ~(uint32_t)(FERRY_FIRST_PASS | FERRY_FINAL_PASS))
    return fail(me->host, FERRY_UNSUPPORTED, "", "a pass has flags that this plugin does not know: %" PRIu32, args->flags);
  if (args->channel_count < 1) return fail(me->host, FERRY_INTERNAL, "", "a pass needs a channel");
  atomic_store(&me->cancelled, 0);
  atomic_store(&me->channel, args->channels[0]);
  return FERRY_OK;
}
static ferry_status end_pass(instance *me, ferry_status status) {
  atomic_store(&me->channel, -1);
  if (status != FERRY_OK && atomic_load(&me->cancelled)) return fail(me->host, FERRY_CANCELLED, "", "the pass was cancelled");
  return status;
}
static ferry_status peer_error(const instance *me) {
  return fail(me->host, FERRY_PEER, "", "the channel of %s broke: %s", me->path, strerror(errno));
}

static ferry_status transfer(void *self, const ferry_args *args) {
  instance *me = self;
  unsigned char block[4 + BLOCK], end[8] = {0};
  uint64_t bytes = 0;
  struct stat file_status;
  ferry_status status = begin_pass(me, args);
  if (status != FERRY_OK) return status;
  int channel = args->channels[0], file = open_file(me->path, &file_status);
  if (file < 0) return end_pass(me, system_error(me, "read", me->path));
  while (status == FERRY_OK) {
    ssize_t got = read(file, block + 4, BLOCK);
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) status = system_error(me, "read", me->path);
    if (got <= 0) break;
    put_number(block, (uint32_t)got);
    if (exchange(send_some, channel, block, 4 + (size_t)got) != 0) status = peer_error(me);
    report(me, bytes += (uint64_t)got, (uint64_t)file_status.st_size);
  }
  close(file);
  put_number(end + 4, file_status.st_mode & 07777);
  if (status == FERRY_OK && exchange(send_some, channel, end, sizeof end) != 0) status = peer_error(me);
  if (status == FERRY_OK) reply(me, "{\"bytes\": %" PRIu64 ", \"entries\": 1, \"changed\": 1}", bytes);
  return end_pass(me, status);
}

static ferry_status receive(void *self, const ferry_args *args) {
  instance *me = self;
  unsigned char block[BLOCK], number[4];
  uint64_t bytes = 0;
  ferry_status status = begin_pass(me, args);
  if (status != FERRY_OK) return status;
  int channel = args->channels[0];
  unlink(me->part);
  int file = open(me->part, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
  if (file < 0) return end_pass(me, system_error(me, "create", me->part));
  while (status == FERRY_OK) {
    uint32_t length = 0;
    if (exchange(receive_some, channel, number, 4) != 0) status = peer_error(me);
    else if ((length = get_number(number)) > BLOCK) status = fail(me->host, FERRY_PEER, "", "the channel of %s carries garbage", me->path);
    else if (length == 0) break;
    else if (exchange(receive_some, channel, block, length) != 0) status = peer_error(me);
    else if (exchange(write_some, file, block, length) != 0) status = system_error(me, "write", me->part);
    report(me, bytes += length, 0);
  }
  if (status == FERRY_OK && exchange(receive_some, channel, number, 4) != 0) status = peer_error(me);
  if (status == FERRY_OK && (fchmod(file, get_number(number) & 07777) != 0 || fsync(file) != 0))
    status = system_error(me, "write", me->part);
  if (close(file) != 0 && status == FERRY_OK) status = system_error(me, "write", me->part);
  /* Under its staged name the file is always whole. */
  if (status == FERRY_OK && (rename(me->part, me->staged) != 0 || sync_folder(me) != 0)) status = system_error(me, "stage", me->staged);
  if (status == FERRY_OK) reply(me, "{\"bytes\": %" PRIu64 ", \"entries\": 1}", bytes);
  return end_pass(me, status);
}

/* FNV-1a over 64 bits, over the content, then the size and the mode as 8 bytes each, little endian. It finds faults, not forgeries. */
static uint64_t fnv(uint64_t hash, const unsigned char *bytes, size_t length) {
  for (size_t i = 0; i < length; i++) hash = (hash ^ bytes[i]) * UINT64_C(1099511628211);
  return hash;
}

static ferry_status digest(void *self, const ferry_args *args) {
  instance *me = self;
  char word[PATH_MAX];
  if (text_at(me, args->json, "/algorithm", word, sizeof word) && strcmp(word, "sha256") == 0)
    return fail(me->host, FERRY_UNSUPPORTED, "leave 'digest' out of the manifest", "example-file knows no sha256, only fnv1a-64");
  atomic_store(&me->cancelled, 0);
  int staged = me->side == FERRY_DESTINATION && !(text_at(me, args->json, "/target", word, sizeof word) && strcmp(word, "active") == 0);
  const char *path = staged ? me->staged : me->path;
  struct stat status;
  int file = open_file(path, &status);
  if (file < 0) return system_error(me, "read", path);
  unsigned char block[BLOCK], tail[16];
  uint64_t hash = UINT64_C(14695981039346656037), bytes = 0;
  ssize_t got;
  while ((got = read(file, block, sizeof block)) != 0 && !atomic_load(&me->cancelled)) {
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) break;
    hash = fnv(hash, block, (size_t)got);
    report(me, bytes += (uint64_t)got, (uint64_t)status.st_size);
  }
  int read_error = got < 0 ? errno : 0;
  close(file);
  if (atomic_load(&me->cancelled)) return fail(me->host, FERRY_CANCELLED, "", "the digest was cancelled");
  if (read_error) return errno = read_error, system_error(me, "read", path);
  for (int i = 0; i < 8; i++) {
    tail[i] = (unsigned char)(bytes >> 8 * i);
    tail[8 + i] = (unsigned char)((uint64_t)(status.st_mode & 07777) >> 8 * i);
  }
  hash = fnv(hash, tail, sizeof tail);
  if (text_at(me, args->json, "/listing", word, sizeof word)) {
    /* The ends may call the file differently: in the canonical form it is just the file. */
    FILE *listing = fopen(word, "we");
    if (!listing) return system_error(me, "write", word);
    int failed = fprintf(listing, "%016" PRIx64 "\tfile\n", hash) < 0;
    if (fclose(listing) != 0 || failed) return system_error(me, "write", word);
  }
  return reply(me, "{\"root\": \"%016" PRIx64 "\", \"entries\": 1, \"bytes\": %" PRIu64 ", \"algorithm\": \"fnv1a-64\"}", hash, bytes);
}

/* kv says whether activate() has begun and what it found, so that a fresh process can go on or undo it: 'r' it replaces a file, 'c' it
 * creates one, 0 it has not begun. */
static ferry_status activation(const instance *me, char *begun) {
  uint64_t length = 0;
  *begun = 0;
  ferry_status status = me->kv->get(me->host, "activate", begun, 1, &length);
  if (status == FERRY_OK || status == FERRY_NOT_FOUND) return FERRY_OK;
  return fail(me->host, status, "", "the item's memory cannot be read");
}

static ferry_status activate(void *self, const ferry_args *args) {
  instance *me = self;
  char begun;
  (void)args;
  ferry_status status = activation(me, &begun);
  if (status != FERRY_OK) return status;
  if (!exists(me->staged)) {
    if (begun) return FERRY_OK;
    return fail(me->host, FERRY_PRECONDITION, "", "nothing was received for %s", me->path);
  }
  if (!begun) {
    begun = exists(me->path) ? 'r' : 'c';
    status = me->kv->put(me->host, "activate", &begun, 1);
    if (status != FERRY_OK) return fail(me->host, status, "", "the item's memory cannot be written");
  }
  /* A second name keeps the old file while the target's name never points at nothing. */
  if (begun == 'r' && !exists(me->kept) && (link(me->path, me->kept) != 0 || sync_folder(me) != 0))
    return system_error(me, "keep", me->path);
  if (rename(me->staged, me->path) != 0 || sync_folder(me) != 0) return system_error(me, "activate", me->path);
  return FERRY_OK;
}

static ferry_status deactivate(void *self, const ferry_args *args) {
  instance *me = self;
  char begun;
  (void)args;
  ferry_status status = activation(me, &begun);
  if (status != FERRY_OK || !begun) return status;
  if (begun == 'r') {
    if (!exists(me->staged) && exists(me->kept) && link(me->path, me->staged) != 0 && errno != ENOENT)
      return system_error(me, "stage again", me->path);
    if (exists(me->kept) && rename(me->kept, me->path) != 0) return system_error(me, "put back", me->path);
    /* Both names of one file: rename has left them alone. */
    if (unlink(me->kept) != 0 && errno != ENOENT) return system_error(me, "remove", me->kept);
  } else if (!exists(me->staged) && rename(me->path, me->staged) != 0 && errno != ENOENT) {
    return system_error(me, "stage again", me->path);
  }
  if (sync_folder(me) != 0) return system_error(me, "sync", me->folder);
  status = me->kv->remove(me->host, "activate");
  return status == FERRY_OK ? FERRY_OK : fail(me->host, status, "", "the item's memory cannot be written");
}

static ferry_status remove_file(const instance *me, const char *path) {
  return unlink(path) == 0 || errno == ENOENT ? FERRY_OK : system_error(me, "remove", path);
}

static ferry_status discard(void *self, const ferry_args *args) {
  instance *me = self;
  (void)args;
  if (me->side == FERRY_SOURCE) return FERRY_OK;
  ferry_status status = remove_file(me, me->part);
  return status == FERRY_OK ? remove_file(me, me->staged) : status;
}

static ferry_status release(void *self, const ferry_args *args) {
  instance *me = self;
  ferry_status status = discard(self, args);
  return me->side == FERRY_SOURCE || status != FERRY_OK ? status : remove_file(me, me->kept);
}

static ferry_status retire(void *self, const ferry_args *args) {
  instance *me = self;
  (void)args;
  ferry_status status = remove_file(me, me->path);
  if (status == FERRY_OK && sync_folder(me) != 0) status = system_error(me, "sync", me->folder);
  return status;
}

static void cancel(void *self) {
  instance *me = self;
  atomic_store(&me->cancelled, 1);
  int channel = atomic_load(&me->channel);
  if (channel >= 0) shutdown(channel, SHUT_RDWR);
}

static const char schema[] =
    "{\"type\": \"object\", \"required\": [\"from\", \"to\"], \"additionalProperties\": false, \"properties\": {"
    "\"from\": {\"$ref\": \"#/$defs/end\"}, \"to\": {\"$ref\": \"#/$defs/end\"}}, \"$defs\": {\"end\": {\"type\": \"object\", "
    "\"required\": [\"file\"], \"additionalProperties\": false, \"properties\": {\"file\": {\"type\": \"string\", "
    "\"pattern\": \"^/(.*[^/])?$\", \"description\": \"absolute path of a regular file\"}}}}}";

static const ferry_provider provider = {
    .struct_size = sizeof(ferry_provider),
    .id = "example-file",
    .summary = "moves one regular file: content and mode",
    .schema = schema,
    .create = create, .destroy = free, .check = check, .prepare = prepare, .transfer = transfer, .receive = receive, .digest = digest,
    .activate = activate, .deactivate = deactivate, .discard = discard, .release = release, .retire = retire, .cancel = cancel,
};

static const ferry_provider *const providers[] = {&provider};
static const ferry_module module = {
    .struct_size = sizeof(ferry_module), .abi_minor = FERRY_ABI_MINOR, .name = "ExampleFile", .version = "1.0", .vendor = "Example",
    .provider_count = 1, .providers = providers,
};

const ferry_module *ferry_module_v1(void) { return &module; }
