/* What the tests ask of libferry in a process of its own: probe WHAT FERRY PLUGINS STATE MANIFEST…  The answer is one line of JSON. */
#define _GNU_SOURCE
#include <dirent.h>
#include <ferry/embed.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

extern char **environ;

static const char *ferry_program, *plugins[2], *phases[] = {"quiesce", NULL};

/* A call that is not what this program is about has to succeed. */
static void must(ferry_status status, ferry_error *error) {
  if (status == FERRY_OK) return;
  fprintf(stderr, "%s: %s; %s\n", error->class_name, error->message, error->hint);
  exit(1);
}

static ferry_engine *open_engine(const char *state) {
  ferry_options options = {.struct_size = sizeof options, .state_folder = state, .plugin_folders = plugins, .executable = ferry_program};
  ferry_engine *engine = NULL;
  ferry_error *error = NULL;
  must(ferry_engine_open(&options, &engine, &error), error);
  return engine;
}

static ferry_manifest *load(ferry_engine *engine, const char *path) {
  ferry_manifest *manifest = NULL;
  ferry_error *error = NULL;
  must(ferry_manifest_load(engine, path, NULL, &manifest, &error), error);
  return manifest;
}

static ferry_session *begin(ferry_engine *engine, ferry_manifest *manifest, int hold) {
  ferry_run_options options = {.struct_size = sizeof options, .hold_before = hold ? phases : NULL};
  ferry_session *session = NULL;
  ferry_error *error = NULL;
  must(ferry_session_run(engine, manifest, &options, &session, &error), error);
  return session;
}

/* Reads all lines; counts them, and those of another run. */
static int32_t finish(ferry_session *session, int *lines, int *strangers) {
  char own[64];
  snprintf(own, sizeof own, "\"run\":\"%s\"", ferry_session_id(session));
  for (const char *line; (line = ferry_session_next(session, -1)); ++*lines) *strangers += strstr(line, own) == NULL;
  int32_t code = -1;
  ferry_session_result(session, &code, NULL);
  return code;
}

static int entries(const char *folder) {
  DIR *stream = opendir(folder);
  int count = 0;
  while (stream && readdir(stream)) count++;
  closedir(stream);
  return count;
}

static long resident(void) {
  long total = 0, pages = 0;
  FILE *file = fopen("/proc/self/statm", "r");
  if (fscanf(file, "%ld %ld", &total, &pages) != 2) exit(1);
  fclose(file);
  return pages * sysconf(_SC_PAGESIZE) / 1024;
}

/* Threads that have returned are gone a moment later, and with them what they hold; those of a pool after some idle time. They get that time. */
static int settled(const char *folder, int bound, int seconds) {
  for (int i = 0; i < 10 * seconds && entries(folder) > bound; i++) usleep(100000);
  return entries(folder);
}

/* One hundred engines, each with its manifest; every tenth plans and runs. */
static void hundred(const char *state, const char *path) {
  int fds = 0, threads = 0, lines = 0, strangers = 0, failed = 0;
  long memory = 0;
  for (int i = 0; i < 100; i++) {
    ferry_engine *engine = open_engine(state);
    ferry_manifest *manifest = load(engine, path);
    if (i % 10 == 9) {
      char *plan = NULL;
      ferry_error *error = NULL;
      must(ferry_plan(engine, manifest, NULL, &plan, &error), error);
      ferry_free(plan);
      ferry_session *session = begin(engine, manifest, 0);
      ferry_engine_close(engine);
      failed += finish(session, &lines, &strangers) != 0;
      ferry_session_close(session);
    } else {
      ferry_engine_close(engine);
    }
    ferry_manifest_close(manifest);
    /* After the first run everything that is made once is there. */
    if (i == 9) threads = settled("/proc/self/task", 0, 5), fds = entries("/proc/self/fd");
    if (i == 39) memory = resident();
  }
  printf("{\"failed\":%d,\"fds\":%d,\"fdsBefore\":%d,\"threads\":%d,\"threadsBefore\":%d,\"grownKiB\":%ld}\n", failed,
         settled("/proc/self/fd", fds, 60), fds, settled("/proc/self/task", threads, 60), threads, resident() - memory);
}

static int pair_lines[2], pair_strangers[2], pair_codes[2];
static const char *pair_state[2], *pair_path[2];

static void *one_of_two(void *number) {
  int i = number != NULL;
  ferry_engine *engine = open_engine(pair_state[i]);
  ferry_manifest *manifest = load(engine, pair_path[i]);
  ferry_session *session = begin(engine, manifest, 0);
  pair_codes[i] = finish(session, &pair_lines[i], &pair_strangers[i]);
  ferry_session_close(session);
  ferry_manifest_close(manifest);
  ferry_engine_close(engine);
  return NULL;
}

/* All that a library must leave alone. */
static char *surroundings(void) {
  char *text = NULL;
  size_t size = 0;
  FILE *out = open_memstream(&text, &size);
  for (int number = 1; number < NSIG; number++) {
    struct sigaction action;
    if (sigaction(number, NULL, &action) == 0) fprintf(out, "%d:%p ", number, (void *)action.sa_handler);
  }
  sigset_t mask;
  pthread_sigmask(SIG_SETMASK, NULL, &mask);
  for (int number = 1; number < NSIG; number++) fputc(sigismember(&mask, number) ? '1' : '0', out);
  char *folder = getcwd(NULL, 0);
  mode_t mode = umask(0);
  umask(mode);
  fprintf(out, " %s %o", folder, mode);
  free(folder);
  for (char **variable = environ; *variable; variable++) fprintf(out, " %s", *variable);
  fclose(out);
  return text;
}

/* Two engines with a run each, at the same time. */
static void pair(char **arguments) {
  char *before = surroundings();
  pthread_t threads[2];
  for (int i = 0; i < 2; i++) {
    pair_state[i] = arguments[2 * i], pair_path[i] = arguments[2 * i + 1];
    pthread_create(&threads[i], NULL, one_of_two, i ? threads : NULL);
  }
  for (int i = 0; i < 2; i++) pthread_join(threads[i], NULL);
  char *after = surroundings();
  printf("{\"codes\":[%d,%d],\"lines\":[%d,%d],\"strangers\":%d,\"surroundings\":%s}\n", pair_codes[0], pair_codes[1], pair_lines[0],
         pair_lines[1], pair_strangers[0] + pair_strangers[1], strcmp(before, after) == 0 ? "true" : "false");
  free(before);
  free(after);
}

static void *cancel(void *session) { return ferry_session_cancel(session), NULL; }

/* A run that waits before it touches the service is cancelled by another thread, once its reader has seen it wait. */
static void cancelled(const char *state, const char *path) {
  ferry_engine *engine = open_engine(state);
  ferry_manifest *manifest = load(engine, path);
  ferry_session *session = begin(engine, manifest, 1);
  struct pollfd ready = {.fd = ferry_session_fd(session), .events = POLLIN};
  pthread_t thread;
  int asked = 0;
  while (!ferry_session_is_over(session)) {
    poll(&ready, 1, -1);
    for (const char *line; (line = ferry_session_next(session, 0));)
      if (!asked && strstr(line, "\"kind\":\"waiting\"")) asked = pthread_create(&thread, NULL, cancel, session) == 0;
  }
  if (asked) pthread_join(thread, NULL);
  int32_t code = -1;
  ferry_error *error = NULL;
  ferry_status status = ferry_session_result(session, &code, &error);
  printf("{\"asked\":%d,\"status\":%d,\"code\":%d,\"class\":\"%s\"}\n", asked, status, code, error ? error->class_name : "");
  ferry_error_free(error);
  ferry_session_close(session);
  ferry_manifest_close(manifest);
  ferry_engine_close(engine);
}

/* A run that is at work when its handle is closed goes back. */
static void closed(const char *state, const char *path) {
  ferry_engine *engine = open_engine(state);
  ferry_manifest *manifest = load(engine, path);
  ferry_session *session = begin(engine, manifest, 1);
  for (const char *line; (line = ferry_session_next(session, -1)) && !strstr(line, "\"kind\":\"waiting\"");) {}
  char *id = strdup(ferry_session_id(session)), *status = NULL;
  ferry_error *error = NULL;
  ferry_session_close(session);
  must(ferry_engine_status(engine, id, &status, &error), error);
  puts(status);
  free(id);
  ferry_free(status);
  ferry_manifest_close(manifest);
  ferry_engine_close(engine);
}

struct visit {
  ferry_engine *engine;
  ferry_manifest *manifest;
  int plans;
  ferry_status status;
  char class_name[32];
};

static void *look(void *argument) {
  struct visit *visit = argument;
  char *json = NULL;
  ferry_error *error = NULL;
  visit->status = (visit->plans ? ferry_plan : ferry_check)(visit->engine, visit->manifest, NULL, &json, &error);
  snprintf(visit->class_name, sizeof visit->class_name, "%s", error ? error->class_name : "");
  ferry_error_free(error);
  ferry_free(json);
  return NULL;
}

/* A check and a plan that wait for a plugin are ended by another thread: `asked` is the file that says that the plugin was asked. Another engine's
 * check goes on, until what the plugin waits for, `waits`, is gone. */
static void interrupted(const char *state, const char *path, const char *asked, const char *waits) {
  ferry_engine *one = open_engine(state), *other = open_engine(state);
  ferry_manifest *manifest = load(one, path);
  struct visit visits[3] = {{.engine = one}, {.engine = one, .plans = 1}, {.engine = other}};
  pthread_t threads[3];
  for (int i = 0; i < 3; i++) {
    unlink(asked);
    visits[i].manifest = manifest;
    pthread_create(&threads[i], NULL, look, &visits[i]);
    for (int times = 0; times < 6000 && access(asked, F_OK) != 0; times++) usleep(10000);
  }
  ferry_engine_interrupt(NULL);
  ferry_engine_interrupt(one);
  for (int i = 0; i < 2; i++) pthread_join(threads[i], NULL);
  unlink(waits);
  pthread_join(threads[2], NULL);
  printf("[");
  for (int i = 0; i < 3; i++) printf("%s[%d,\"%s\"]", i ? "," : "", visits[i].status, visits[i].class_name);
  puts("]");
  ferry_manifest_close(manifest);
  ferry_engine_close(one);
  ferry_engine_close(other);
}

int main(int count, char **arguments) {
  if (count < 6) return 2;
  ferry_program = arguments[2], plugins[0] = arguments[3];
  if (strcmp(arguments[1], "hundred") == 0) hundred(arguments[4], arguments[5]);
  if (strcmp(arguments[1], "pair") == 0 && count > 7) pair(arguments + 4);
  if (strcmp(arguments[1], "cancelled") == 0) cancelled(arguments[4], arguments[5]);
  if (strcmp(arguments[1], "closed") == 0) closed(arguments[4], arguments[5]);
  if (strcmp(arguments[1], "interrupted") == 0 && count > 7) interrupted(arguments[4], arguments[5], arguments[6], arguments[7]);
  return 0;
}
