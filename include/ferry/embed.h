/* ferry/embed.h: Ferry inside another program.  SPDX-License-Identifier: Apache-2.0
 *
 * libferry.so is the controller: it reads manifests, plans, and takes runs to their ends, as the `ferry` command does. Agents and plugin
 * hosts are processes of the `ferry` program that is installed with it; no plugin is ever loaded into your process. docs/embed.md tells
 * the story, with whole programs.
 *
 * Rules that hold for everything below:
 *  - The library leaves your process alone: no signal handlers (and no SIGPIPE), no chdir, no exit, no umask, no changes of the
 *    environment or the locale, nothing on stdout and stderr. It starts threads, and child processes, which it waits for itself. In turn:
 *    leave its children to it (no waitpid(-1), no ignored SIGCHLD), and after a fork call nothing of it in the child, which may exec.
 *  - Ownership. Handles are yours: each has one function that ends it, and it is not used by another thread then, nor afterwards. What a
 *    function takes is borrowed until it returns. Text that it hands out through a `char **` is yours, for ferry_free.
 *  - Threads. Every function may be called from any thread, and with one handle from several at once; those that wait say so, and only
 *    the thread that called waits. ferry_session_next alone is for one thread at a time.
 *  - Errors. A function that can fail returns a ferry_status. Where it is not FERRY_OK, *error (unless error is NULL) is a ferry_error of
 *    yours, for ferry_error_free, and nothing else was handed out; else *error is NULL.
 *  - struct_size comes first and is set by whoever fills the struct. Later minor versions only append members and functions; the major
 *    version is the suffix of libferry.so.1 and of its symbols' version. Members and flags that this library does not know must be zero:
 *    others are refused with FERRY_UNSUPPORTED.
 *  - Text is UTF-8 and ends in NUL. JSON is as `ferry --json` prints it, documented in docs/commands.md; a reader skips keys that it
 *    does not know.
 *  - The library is never unloaded: dlclose does nothing.
 */
#ifndef FERRY_EMBED_H
#define FERRY_EMBED_H

#include <stdint.h>

#include "plugin.h" /* ferry_status: the same classes of errors on both sides */

#ifdef __cplusplus
extern "C" {
#endif

/* Counts appended members and functions. */
#define FERRY_EMBED_MINOR 0u

/* The FERRY_EMBED_MINOR that the library was built with. */
uint32_t ferry_embed_minor(void);

/* The release of the library, such as "0.1.0"; lives as long as the process. */
const char *ferry_version(void);

/* Frees text that a function has handed out; NULL is no error. */
void ferry_free(char *text);

/* ---- Errors ------------------------------------------------------------------------------------------------------------------- */

/* Why a call failed. All of it is the library's until ferry_error_free; no pointer is NULL. */
typedef struct ferry_error {
  uint32_t struct_size;
  ferry_status status;    /* what the call returned: the class */
  int32_t exit_code;      /* what the `ferry` command would exit with */
  uint32_t reserved;      /* zero */
  const char *class_name; /* the class as a word: "not-found" */
  const char *code;       /* tells this error from others of its class, such as "not-equal"; mostly "" */
  const char *message;    /* what happened and where, in one sentence. It holds no secret */
  const char *hint;       /* the state now and what to do next, or "" */
  const char *json;       /* all of that as the last line of `--json`; of an invalid manifest with its "diagnostics" */
} ferry_error;

/* NULL is no error. */
void ferry_error_free(ferry_error *error);

/* ---- Engines ------------------------------------------------------------------------------------------------------------------ */

/* A journal of runs, and what it takes to run them. Several may be open, also over the same folder, also by other processes. */
typedef struct ferry_engine ferry_engine;

/* NULL for a member is the choice of the `ferry` command. Relative paths are against the working folder. */
typedef struct ferry_options {
  uint32_t struct_size;
  uint32_t flags;                    /* zero */
  const char *state_folder;          /* journal, event logs and receipts; NULL: $FERRY_STATE, else in the node's home */
  const char *const *plugin_folders; /* NULL at the end, the first wins; NULL: $FERRY_PLUGINS, else beside the `ferry` program */
  const char *executable;            /* the `ferry` program; NULL: ../bin/ferry or ./ferry from libferry.so, else from the running program,
                                      * else the one in PATH */
  const char *ssh_config;            /* as `ssh -F`; NULL: $FERRY_SSH_CONFIG, else the user's own */
} ferry_options;

/* Opens an engine; options may be NULL. The folder and its journal are made if they are not there. FERRY_NOT_FOUND: there is no `ferry`. */
ferry_status ferry_engine_open(const ferry_options *options, ferry_engine **engine, ferry_error **error);

/* Ends the handle. Manifests and sessions that came from it go on; NULL is no error. */
void ferry_engine_close(ferry_engine *engine);

/* ---- Manifests ---------------------------------------------------------------------------------------------------------------- */

/* A manifest that is valid, with its parameters filled in. It belongs to no engine and does not change. */
typedef struct ferry_manifest ferry_manifest;

/* Reads a file. parameters: "NAME=VALUE" each, NULL at the end, as `--set`; NULL: none. FERRY_INVALID: the error's json has
 * "diagnostics", all that is wrong, each with its place. It may start plugins to ask for their schemas, and waits for them. */
ferry_status ferry_manifest_load(
    ferry_engine *engine, const char *path, const char *const *parameters, ferry_manifest **manifest, ferry_error **error);

/* The same from length bytes of memory, which need no NUL. name is what diagnostics call it; its relative paths start at folder. */
ferry_status ferry_manifest_parse(
    ferry_engine *engine, const void *text, uint64_t length, const char *name, const char *folder, const char *const *parameters,
    ferry_manifest **manifest, ferry_error **error);

/* The manifest as Ferry understands it; secrets are references. "warnings" are diagnostics that stop nothing. */
ferry_status ferry_manifest_json(const ferry_manifest *manifest, char **json, ferry_error **error);

/* Ends the handle; NULL is no error. */
void ferry_manifest_close(ferry_manifest *manifest);

/* ferry_run_options.flags */
enum {
  FERRY_IGNORE_SPACE = 1u << 0 /* go on although the destination looks too small */
};

/* What a run is told beside its manifest. */
typedef struct ferry_run_options {
  uint32_t struct_size;
  uint32_t flags;
  uint64_t max_downtime;          /* milliseconds; 0: as the manifest says */
  const char *const *hold_before; /* wait before these phases for ferry_engine_ask, beside those of the manifest; NULL at the end, or NULL */
} ferry_run_options;

/* Asks both nodes whether the migration can be run; changes nothing, waits. *json: {"items": […], "notices": […]}, the report of
 * `ferry check`; a notice of severity "error" keeps a run from going on. options may be NULL. */
ferry_status ferry_check(
    ferry_engine *engine, const ferry_manifest *manifest, const ferry_run_options *options, char **json, ferry_error **error);

/* What a run would do, as `ferry plan --json`; changes nothing, waits. options may be NULL. */
ferry_status ferry_plan(
    ferry_engine *engine, const ferry_manifest *manifest, const ferry_run_options *options, char **json, ferry_error **error);

/* Ends every ferry_check, ferry_plan and ferry_engine_verify that waits on this engine: they return FERRY_CANCELLED, and have changed nothing.
 * Returns at once; a call that begins later is not meant. Sessions go on. NULL is no error. */
void ferry_engine_interrupt(ferry_engine *engine);

/* ---- Sessions: a run at work -------------------------------------------------------------------------------------------------- */

/* A run that this process takes to its end, on threads of the library. */
typedef struct ferry_session ferry_session;

/* Begins a run. The run is in the journal when this returns; whatever becomes of this process, it can be resumed or rolled back.
 * options may be NULL. */
ferry_status ferry_session_run(
    ferry_engine *engine, const ferry_manifest *manifest, const ferry_run_options *options, ferry_session **session, ferry_error **error);

/* The source's half of a deferred run, as `ferry transfer`: the state waits in its provider's store. */
ferry_status ferry_session_transfer(
    ferry_engine *engine, const ferry_manifest *manifest, const ferry_run_options *options, ferry_session **session, ferry_error **error);

/* The destination's half, as `ferry receive`: a snapshot's name or the beginning of it, a run's id, or "latest". */
ferry_status ferry_session_receive(
    ferry_engine *engine, const ferry_manifest *manifest, const char *snapshot, ferry_session **session, ferry_error **error);

/* Goes on with a run that was interrupted, by its id or the beginning of it. */
ferry_status ferry_session_resume(ferry_engine *engine, const char *run, ferry_session **session, ferry_error **error);

/* flags of ferry_session_rollback */
enum {
  FERRY_DISCARD_DESTINATION_WRITES = 1u << 0 /* give up what the destination has accepted since it began to serve */
};

/* Undoes a run. */
ferry_status ferry_session_rollback(
    ferry_engine *engine, const char *run, uint32_t flags, ferry_session **session, ferry_error **error);

/* The run's id; lives as long as the session. */
const char *ferry_session_id(const ferry_session *session);

/* A descriptor that is readable while ferry_session_next has something to say, its end among it. For poll, epoll and event loops; the
 * session's own: neither read nor close it. It lives as long as the session, and stays readable when all is told. */
int ferry_session_fd(const ferry_session *session);

/* The next line: an event, or at last the result, exactly as `ferry run --json` prints them. Waits up to timeout milliseconds, for ever if
 * it is negative. NULL: nothing came in time, or the result was told already. The line lives until the next call for this session or its
 * close. A reader that is slow loses no line but progress that newer progress has overtaken. One thread at a time. */
const char *ferry_session_next(ferry_session *session, int32_t timeout);

/* 1 once ferry_session_next has told the result, else 0. */
int ferry_session_is_over(const ferry_session *session);

/* Asks the run to end: it goes back, and says so in its events and its result. Returns at once; may come more than once, and at any time. */
void ferry_session_cancel(ferry_session *session);

/* Waits for the run's end, whatever has been read of its lines. FERRY_OK if the session did what it is for; else the error of the run, and
 * "remaining" of its json what compensation could not do. *exit_code (unless NULL) is what the `ferry` command would exit with. */
ferry_status ferry_session_result(ferry_session *session, int32_t *exit_code, ferry_error **error);

/* Ends the handle. A run that is still at work is cancelled, and this waits until it has gone back; NULL is no error. */
void ferry_session_close(ferry_session *session);

/* ---- Other runs: those of any process over this engine's journal; by id or the beginning of it --------------------------------- */

/* What ferry_engine_ask asks for. */
enum {
  FERRY_ASK_CANCEL = 1,  /* go back */
  FERRY_ASK_PROCEED = 2, /* go on with the phase that it waits before */
  FERRY_ASK_CUTOVER = 3  /* end the increments of a follow run: the destination takes over */
};

/* Asks the controller that is at work on a run, in whatever process. FERRY_PRECONDITION if none is. */
ferry_status ferry_engine_ask(ferry_engine *engine, const char *run, int32_t what, ferry_error **error);

/* All runs, the newest first: a JSON array of what `ferry history --json` prints. */
ferry_status ferry_engine_history(ferry_engine *engine, char **json, ferry_error **error);

/* One run, as `ferry status RUN --json`. */
ferry_status ferry_engine_status(ferry_engine *engine, const char *run, char **json, ferry_error **error);

/* The receipt of a run that is done, as `ferry receipt --json`. */
ferry_status ferry_engine_receipt(ferry_engine *engine, const char *run, char **json, ferry_error **error);

/* Reads the destination again, as `ferry verify --json`, by a receipt's file or a run; waits. That it differs is no error of this call. */
ferry_status ferry_engine_verify(ferry_engine *engine, const char *receipt, char **json, ferry_error **error);

/* Forgets a run that has ended, as `ferry cleanup`; waits. */
ferry_status ferry_engine_cleanup(ferry_engine *engine, const char *run, ferry_error **error);

/* The plugins there are: a JSON array of what `ferry plugins list --json` prints; waits for those that describe themselves. */
ferry_status ferry_engine_plugins(ferry_engine *engine, char **json, ferry_error **error);

/* The manifest's JSON Schema, for editors and forms. */
ferry_status ferry_schema(char **json, ferry_error **error);

#ifdef __cplusplus
}
#endif
#endif
