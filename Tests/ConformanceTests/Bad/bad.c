/* The teaching plugin with one fault, chosen by the item's key "fault": each is a mistake that a vendor's first plugin may well have, and one
 * that a check of the conformance kit must find. Without the key it is the teaching plugin. */
#define ferry_module_v1 example_module_v1
#include "../../../Plugins/Example/example.c"
#undef ferry_module_v1

static char fault[64];
static int has(const char *name) { return strcmp(fault, name) == 0; }

static ferry_status bad_create(const ferry_host *host, const ferry_item *item, void **self) {
  const ferry_json *json = host->get_service(host, "ferry.json/1");
  uint64_t length;
  if (!json || json->get(host, item->config, "/fault", fault, sizeof fault, &length) != FERRY_OK) fault[0] = 0;
  return create(host, item, self);
}

/* A file beside the target that nobody removes. */
static ferry_status litter(const instance *me) {
  char path[PATH_MAX + 16];
  snprintf(path, sizeof path, "%slitter", me->folder);
  close(open(path, O_CREAT | O_WRONLY | O_CLOEXEC, 0600));
  return FERRY_OK;
}

/* Notes that work has begun, and refuses to begin twice: a process that dies in between shuts all others out. */
static ferry_status begin(const instance *me, const char *key) {
  uint64_t length;
  if (me->kv->get(me->host, key, NULL, 0, &length) == FERRY_OK) return fail(me->host, FERRY_CONFLICT, "", "somebody is at work already");
  return me->kv->put(me->host, key, "1", 1);
}
static ferry_status alone(const instance *me, const char *key, ferry_call work, void *self, const ferry_args *args) {
  ferry_status status = begin(me, key);
  if (status != FERRY_OK) return status;
  status = work(self, args);
  me->kv->remove(me->host, key);
  return status;
}

static ferry_status bad_prepare(void *self, const ferry_args *args) {
  instance *me = self;
  if (has("prepare-once")) {
    ferry_status status = begin(me, "prepared");
    if (status != FERRY_OK) return status;
  }
  if (has("prepare-litters") && me->side == FERRY_DESTINATION) litter(me);
  return prepare(self, args);
}

/* Knows no flag that it does not know, trusts whatever its peer says, and takes every end for a good one. */
static ferry_status careless(ferry_call half, void *self, const ferry_args *args) {
  instance *me = self;
  ferry_args taken = *args;
  if (has("any-flags")) {
    taken.flags &= FERRY_FIRST_PASS | FERRY_FINAL_PASS;
    if (taken.channel_count == 0) return FERRY_OK;
  }
  struct stat status;
  if (has("no-empty") && me->side == FERRY_SOURCE && stat(me->path, &status) == 0 && status.st_size == 0)
    return fail(me->host, FERRY_PRECONDITION, "", "there is nothing in it");
  if (has("locks")) return alone(me, "lock", half, self, &taken);
  ferry_status result = half(self, &taken);
  if (has("gullible") && result != FERRY_OK && result != FERRY_CANCELLED) return FERRY_OK;
  return result;
}
static int received;
static ferry_status bad_transfer(void *self, const ferry_args *args) { return careless(transfer, self, args); }
static ferry_status bad_receive(void *self, const ferry_args *args) {
  ferry_status status = careless(receive, self, args);
  received = 1;
  if (has("early") && status == FERRY_OK) activate(self, args);
  return status;
}

static ferry_status bad_digest(void *self, const ferry_args *args) {
  instance *me = self;
  char word[PATH_MAX];
  uint64_t length;
  int active = text_at(me, args->json, "/target", word, sizeof word) && strcmp(word, "active") == 0;
  if (has("remembers") && active && me->kv->get(me->host, "activated", NULL, 0, &length) != FERRY_OK)
    return fail(me->host, FERRY_NOT_FOUND, "", "nothing is known of this run");
  if (has("one-root")) return reply(me, "{\"root\": \"00\", \"entries\": 1, \"bytes\": 1}");
  ferry_status status = digest(self, args);
  if (has("no-listing") && text_at(me, args->json, "/listing", word, sizeof word)) unlink(word);
  return status;
}

static ferry_status bad_activate(void *self, const ferry_args *args) {
  instance *me = self;
  if (has("globals") && !received) return fail(me->host, FERRY_PRECONDITION, "", "nothing was received here");
  if (has("remembers")) me->kv->put(me->host, "activated", "1", 1);
  if (has("activates-alone")) return alone(me, "activating", activate, self, args);
  return activate(self, args);
}

static ferry_status bad_deactivate(void *self, const ferry_args *args) {
  if (has("no-deactivate")) return FERRY_OK;
  return deactivate(self, args);
}

static ferry_status bad_discard(void *self, const ferry_args *args) {
  instance *me = self;
  if (has("no-discard")) return FERRY_OK;
  if (has("eager-discard") && me->side == FERRY_DESTINATION) unlink(me->path);
  if (has("discards-alone")) return alone(me, "discarding", discard, self, args);
  return discard(self, args);
}

static ferry_status bad_retire(void *self, const ferry_args *args) {
  instance *me = self;
  if (has("retire-once") && !exists(me->path)) return fail(me->host, FERRY_NOT_FOUND, "", "it is gone");
  return retire(self, args);
}

static void bad_cancel(void *self) {
  if (!has("deaf")) cancel(self);
}

static const char bad_schema[] =
    "{\"type\": \"object\", \"required\": [\"from\", \"to\"], \"additionalProperties\": false, \"properties\": {"
    "\"from\": {\"$ref\": \"#/$defs/end\"}, \"to\": {\"$ref\": \"#/$defs/end\"}, \"fault\": {\"type\": \"string\"}}, \"$defs\": {\"end\": "
    "{\"type\": \"object\", \"required\": [\"file\"], \"additionalProperties\": false, \"properties\": {\"file\": {\"type\": \"string\"}}}}}";
/* Takes everything. */
static const char open_schema[] = "{\"type\": \"object\", \"properties\": {\"from\": {\"type\": \"object\", \"properties\": {\"file\": {}}}}}";

#ifndef RECEIVE
#define RECEIVE bad_receive
#endif
#define MEMBERS                                                                                                                                 \
  .struct_size = sizeof(ferry_provider), .summary = "moves a file, badly", .create = bad_create, .destroy = free, .check = check,               \
  .prepare = bad_prepare, .transfer = bad_transfer, .receive = RECEIVE, .digest = bad_digest, .activate = bad_activate,                         \
  .deactivate = bad_deactivate, .discard = bad_discard, .release = release, .retire = bad_retire, .cancel = bad_cancel

static const ferry_provider bad = {MEMBERS, .id = "bad", .schema = bad_schema};
static const ferry_provider unsaid = {MEMBERS, .id = "bad-unsaid", .schema = open_schema};
static const ferry_provider *const bad_providers[] = {&bad, &unsaid};
static const ferry_module bad_module = {
    .struct_size = sizeof(ferry_module), .abi_minor = FERRY_ABI_MINOR, .name = "Bad", .version = "1.0", .vendor = "Tests",
    .provider_count = 2, .providers = bad_providers,
};

const ferry_module *ferry_module_v1(void) { return &bad_module; }
