/* Runs a migration: move MANIFEST [NAME=VALUE]...
 * The plan goes to stderr, events to stdout, a line each. Ctrl-C has the run go back; the exit code is that of `ferry run`.
 *
 *     cc -o move move.c $(pkg-config --cflags --libs ferry)
 */
#include <ferry/embed.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <sys/signalfd.h>
#include <unistd.h>

/* Says what is wrong, and frees it. */
static int complain(ferry_error *error) {
  int code = error->exit_code;
  fprintf(stderr, "%s: %s; %s\n%s\n", error->class_name, error->message, error->hint, error->json);
  ferry_error_free(error);
  return code;
}

/* Prints what the run says until it is over. The library has no signal handlers: Ctrl-C is one more descriptor here. */
static int follow(ferry_session *session, int signals) {
  struct pollfd ready[] = {{.fd = ferry_session_fd(session), .events = POLLIN}, {.fd = signals, .events = POLLIN}};
  while (!ferry_session_is_over(session)) {
    poll(ready, 2, -1);
    struct signalfd_siginfo signal;
    if (ready[1].revents && read(signals, &signal, sizeof signal) == sizeof signal) ferry_session_cancel(session);
    for (const char *line; (line = ferry_session_next(session, 0));) puts(line);
    fflush(stdout);
  }
  ferry_error *error = NULL;
  int32_t code = 0;
  return ferry_session_result(session, &code, &error) == FERRY_OK ? code : complain(error);
}

int main(int count, char **arguments) {
  if (count < 2) return fprintf(stderr, "usage: move MANIFEST [NAME=VALUE]...\n"), 2;
  sigset_t interrupt;
  sigemptyset(&interrupt);
  sigaddset(&interrupt, SIGINT);
  sigprocmask(SIG_BLOCK, &interrupt, NULL);
  int signals = signalfd(-1, &interrupt, SFD_CLOEXEC);

  ferry_engine *engine = NULL;
  ferry_manifest *manifest = NULL;
  ferry_session *session = NULL;
  ferry_error *error = NULL;
  char *plan = NULL;
  int code;
  if (ferry_engine_open(NULL, &engine, &error) != FERRY_OK ||
      ferry_manifest_load(engine, arguments[1], (const char *const *)arguments + 2, &manifest, &error) != FERRY_OK ||
      ferry_plan(engine, manifest, NULL, &plan, &error) != FERRY_OK ||
      ferry_session_run(engine, manifest, NULL, &session, &error) != FERRY_OK) {
    code = complain(error);
  } else {
    fprintf(stderr, "run %s: %s\n", ferry_session_id(session), plan);
    code = follow(session, signals);
  }
  ferry_free(plan);
  ferry_session_close(session);
  ferry_manifest_close(manifest);
  ferry_engine_close(engine);
  return code;
}
