/* ferry/plugin.h: the line between Ferry and a state provider.  SPDX-License-Identifier: Apache-2.0
 *
 * A plugin is a shared library that exports ferry_module_v1(). It lists providers; a provider knows one kind of state and plays both
 * ends of a migration: transfer-state at the source, receive-state at the destination. Each item and side of a run gets a process of its
 * own (`ferry host`) that loads one plugin, so a plugin that crashes fails its item and nothing else. docs/abi.md tells the story;
 * Plugins/Example/example.c is a whole plugin.
 *
 * Rules that hold for everything below:
 *  - struct_size comes first and is set by whoever fills the struct. Later minor versions only append members; a reader takes
 *    min(its own size, struct_size) bytes over zeros. A new meaning gets a new member or an extension, never an old one's place.
 *  - Text is UTF-8, ends in NUL, and is borrowed: what the host passes lives until the call returns, what a plugin passes until the
 *    host's function returns; what a provider table points at lives as long as the process. Nobody frees another's memory.
 *  - [main]: called on the item's one thread, one call at a time. [any]: may be called from any thread at any time.
 *  - No exception, longjmp or trap crosses a call. Unknown flag bits are refused with FERRY_UNSUPPORTED.
 *  - The library is never unloaded. It must not change signal handlers, the working directory, the umask or descriptors 0-3.
 */
#ifndef FERRY_PLUGIN_H
#define FERRY_PLUGIN_H

#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Counts appended members. The major version is the suffix of ferry_module_v1. */
#define FERRY_ABI_MINOR 0u

/* What a call returns: FERRY_OK or an error class. Say what happened with ferry_host.fail before an error is returned. */
typedef int32_t ferry_status;
enum {
  FERRY_OK = 0,
  FERRY_INVALID = 1,      /* the manifest or an argument is wrong */
  FERRY_PRECONDITION = 2, /* the system is not in the state that this needs; nothing was changed */
  FERRY_NOT_FOUND = 3,    /* the named thing does not exist */
  FERRY_CONFLICT = 4,     /* the named thing exists, or is in use by somebody else */
  FERRY_AUTH = 5,         /* a credential was refused */
  FERRY_IO = 6,           /* reading or writing failed */
  FERRY_PEER = 7,         /* the other end failed; its own error says why */
  FERRY_RETRY = 8,        /* failed now, may work when tried again */
  FERRY_CANCELLED = 9,    /* ended because cancel() was called */
  FERRY_UNSUPPORTED = 10, /* not an ability of this provider or system */
  FERRY_INTERNAL = 11     /* a bug */
};

/* Which end of the migration an instance plays. */
enum { FERRY_SOURCE = 1, FERRY_DESTINATION = 2 };

/* ferry_args.flags */
enum {
  FERRY_FIRST_PASS = 1u << 0, /* transfer, receive: nothing was moved by this run before */
  FERRY_FINAL_PASS = 1u << 1, /* transfer, receive: nobody writes; be strict, and leave the destination exactly equal */
  FERRY_FULL_DIGEST = 1u << 2 /* digest: read all content again, trust no earlier digest */
};

/* ---- The host's side ---------------------------------------------------------------------------------------------------------- */

typedef struct ferry_host ferry_host;

/* Handed to create(), valid until destroy() returned. The host owns it. */
struct ferry_host {
  uint32_t struct_size;
  uint32_t reserved; /* zero */
  void *context;     /* the host's own; leave it alone */

  /* The error of the running call: what happened and where, and what to do next ("" if nobody knows). The last one counts. Both texts
   * are shown to people: no secret belongs in them. [any] */
  void (*fail)(const ferry_host *host, const char *message, const char *hint);

  /* The result of the running call: one JSON object with the keys that the call's comment names. The last one counts; not calling
   * it gives the empty object. [main] */
  void (*reply)(const ferry_host *host, const char *json);

  /* A service table by name ("ferry.log/1"), or NULL if this host has none of that name. The table lives as long as the host. [any] */
  const void *(*get_service)(const ferry_host *host, const char *name);
};

/* "ferry.log/1" */
enum { FERRY_LOG_DEBUG = 0, FERRY_LOG_INFO = 1, FERRY_LOG_WARNING = 2, FERRY_LOG_ERROR = 3 };
typedef struct ferry_log {
  uint32_t struct_size;
  uint32_t reserved;
  /* One line into the run's log. Floods are cut and counted. What a plugin writes to stderr lands there as well. [any] */
  void (*write)(const ferry_host *host, int32_t level, const char *message);
} ferry_log;

/* "ferry.progress/1" */
typedef struct ferry_progress_report {
  uint32_t struct_size;
  uint32_t reserved;
  uint64_t bytes;         /* done in this call so far */
  uint64_t bytes_total;   /* 0: unknown */
  uint64_t entries;       /* files, records, rows: what the provider counts */
  uint64_t entries_total; /* 0: unknown */
} ferry_progress_report;
typedef struct ferry_progress {
  uint32_t struct_size;
  uint32_t reserved;
  /* Cheap: call it as often as you like. A call that neither reports nor returns for the manifest's `stall` time is ended. [any] */
  void (*report)(const ferry_host *host, const ferry_progress_report *report);
} ferry_progress;

/* "ferry.kv/1": durable per run, item and side. An atomic put is a checkpoint: it is on disk when put returns. */
typedef struct ferry_kv {
  uint32_t struct_size;
  uint32_t reserved;
  /* Writes up to capacity bytes of the value to buffer and its whole length to *length. FERRY_NOT_FOUND if there is none. [any] */
  ferry_status (*get)(const ferry_host *host, const char *key, void *buffer, uint64_t capacity, uint64_t *length);
  /* Keys: 1 to 64 of a-z 0-9 . _ -, not starting with a dot. Values: 1 MiB at most. [any] */
  ferry_status (*put)(const ferry_host *host, const char *key, const void *value, uint64_t length);
  /* No error if there is none. [any] */
  ferry_status (*remove)(const ferry_host *host, const char *key);
} ferry_kv;

/* "ferry.secret/1": what the manifest wrote as a reference ({env: …}, {file: …}, {command: …}) under the item's `secrets`. */
typedef struct ferry_secret {
  uint32_t struct_size;
  uint32_t reserved;
  /* As ferry_kv.get; no NUL is added. Never put a secret into argv, a log, an error or kv. [any] */
  ferry_status (*get)(const ferry_host *host, const char *name, void *buffer, uint64_t capacity, uint64_t *length);
} ferry_secret;

/* "ferry.tmp/1" */
typedef struct ferry_tmp {
  uint32_t struct_size;
  uint32_t reserved;
  /* A folder of this item and side, mode 0700, on the node's disk; emptied when the run is cleaned up. The text lives as long as the
   * host. [any] */
  const char *(*path)(const ferry_host *host);
} ferry_tmp;

/* "ferry.json/1": for plugins that bring no JSON reader of their own. */
typedef struct ferry_json {
  uint32_t struct_size;
  uint32_t reserved;
  /* The value at a JSON Pointer (RFC 6901: "/endpoint/path"): a string's text, anything else as JSON. Writes up to capacity - 1 bytes
   * and a NUL to buffer, and the whole length without NUL to *length. FERRY_NOT_FOUND if there is none, FERRY_INVALID if json is not
   * JSON. [any] */
  ferry_status (*get)(const ferry_host *host, const char *json, const char *pointer, char *buffer, uint64_t capacity, uint64_t *length);
} ferry_json;

/* "ferry.process/1": child processes that die with the item. */
typedef struct ferry_command {
  uint32_t struct_size;
  uint32_t flags;           /* zero */
  const char *const *argv;  /* NULL at the end; argv[0] is looked up in PATH */
  const char *const *envp;  /* "NAME=value", added to the host's own environment; NULL for none */
  const char *directory;    /* NULL: the host's */
  int32_t stdin_fd;         /* -1: /dev/null. The child gets duplicates; yours stay open */
  int32_t stdout_fd;        /* -1: each line goes to the log */
} ferry_command;
typedef struct ferry_process {
  uint32_t struct_size;
  uint32_t reserved;
  /* Runs a program and waits for it. *exit_code: its exit code, or 128 + the signal that ended it. Its stderr goes to the log, the last
   * 4 KiB to errors (NUL-terminated, up to capacity). FERRY_CANCELLED when cancel ended it. [any] */
  ferry_status (*run)(const ferry_host *host, const ferry_command *command, int32_t *exit_code, char *errors, uint64_t capacity);
} ferry_process;

/* ---- The provider's side ------------------------------------------------------------------------------------------------------ */

/* What an instance is about. */
typedef struct ferry_item {
  uint32_t struct_size;
  int32_t side;         /* FERRY_SOURCE or FERRY_DESTINATION */
  const char *run;      /* the run's id */
  const char *name;     /* the item's name in the manifest */
  const char *config;   /* JSON object: the item's keys, with `from` at the source and `to` at the destination under "endpoint",
                         * "allow-empty", and the manifest's mode ("copy", "move", "follow") under "run-mode" */
  const char *provider; /* the id that the manifest chose: for a create() that serves several providers */
} ferry_item;

/* What every call gets. */
typedef struct ferry_args {
  uint32_t struct_size;
  uint32_t flags;
  uint32_t pass;            /* transfer, receive: counts from 0 over the whole run, resumed or not */
  uint32_t channel_count;
  const int32_t *channels;  /* connected stream sockets to the other end, the host's: do not close them (shutdown is fine). A child may
                             * get one as stdin or stdout. End of file never means success: the ends compare their results */
  const char *json;         /* JSON object: "offer" (what the destination's prepare replied) in every call that follows prepare, and what
                             * the call's comment names */
} ferry_args;

/* All calls have one shape. self is what create() gave. [main] */
typedef ferry_status (*ferry_call)(void *self, const ferry_args *args);

/* One kind of state. Members that may be NULL say so. Result keys without a remark are optional; numbers are whole and not negative. */
typedef struct ferry_provider {
  uint32_t struct_size;
  uint32_t flags;       /* zero */
  const char *id;       /* what a manifest writes under `provider`: a-z 0-9 and -, a letter first */
  const char *summary;  /* one line */
  const char *schema;   /* JSON Schema (object) of the item's keys: properties `from`, `to` and the provider's own */

  /* Makes an instance. It must not touch the state yet. host lives until destroy. [main] */
  ferry_status (*create)(const ferry_host *host, const ferry_item *item, void **self);
  /* Frees it. The state stays as it is; children are gone before it returns. [main] */
  void (*destroy)(void *self);

  /* Both sides, read only. Result: "notices" [{"severity": "warning"|"error", "text", "hint"}], "bytes" and "entries" of the state
   * (source), "room" in bytes for it (destination), "versions" {tool: version}, "abilities" of the provider's own (destination): what can
   * be held there. The source is asked after the destination and has that in args.json as "abilities". [main] */
  ferry_call check;
  /* Destination: create what receives, idempotently, and reply with the offer: "target" "private"|"in-place" (required),
   * "stops-source" true if freeze is an outage, and any keys of the provider's own. Source: args.json has the "offer"; start trackers and holds. Undone by discard. Both: args.json has the
   * "manifest" as in transfer. [main] */
  ferry_call prepare;
  /* transfer-state, source: one pass into the channels. args.json: "manifest" {"name", "digest", "mode"}. Result: "bytes" of content sent, "entries" looked at, "changed" entries sent,
   * "vanished" (hot passes only), "unread" [path] (hot passes only; in the final pass it is an error),
   * "method" (how what had to move was found, for people). [main] */
  ferry_call transfer;
  /* receive-state, destination: the other half of the same pass. args.json as there. Result: "bytes", "entries". What was received is safe on disk
   * when the FERRY_FINAL_PASS returns. [main] */
  ferry_call receive;
  /* Source: from now until thaw the state does not change by the provider's own doing. NULL: nothing to do. [main] */
  ferry_call freeze;
  /* Source: undo freeze. Must work in a fresh process, twice, and without a freeze. NULL: nothing to do. [main] */
  ferry_call thaw;
  /* Both sides: what the state is, in a canonical form that both ends compute alike. args.json: "algorithm" "xxh3-128"|"sha256",
   * "depth" "tracked"|"sweep"|"full": how far to look oneself, all with the same root; FERRY_FULL_DIGEST says "full" too;
   * "target" "staged"|"active" (destination), and sometimes "listing": a file to write, one "digest<TAB>path" line an entry,
   * sorted by path. Result: "root" hex (required), "entries" and "bytes" (required), "evidence" {name: text}, which
   * the receipt shows. [main] */
  ferry_call digest;
  /* Destination: give what was received its real name. Idempotent. [main] */
  ferry_call activate;
  /* Destination: undo activate; what was there before is back. Must work in a fresh process, twice, and without activate. [main] */
  ferry_call deactivate;
  /* Both sides: undo prepare, and at the destination remove what was received. Fresh process, twice, without prepare. [main] */
  ferry_call discard;
  /* Both sides, after success: let go of trackers, of staged files and of what activate replaced. Fresh process, twice. [main] */
  ferry_call release;
  /* Source, `move` only: remove the state. Fresh process, twice. [main] */
  ferry_call retire;

  /* End the running call soon: it returns FERRY_CANCELLED. Must not wait. May come several times for one call, and just before the call
   * begins or after it has returned. NULL: the process is killed instead. [any] */
  void (*cancel)(void *self);
  /* A later ability by name, or NULL. May itself be NULL. [any] */
  const void *(*get_extension)(void *self, const char *name);
} ferry_provider;

/* "ferry.deferred/1", by get_extension: a provider that can keep the state in a store of its own, where it waits for a destination that is not
 * there yet. In a deferred run args.json has "deferred": true in check, prepare, transfer and receive, and passes come without channels. Then
 *  - the source's prepare gets no offer and replies with what the destination would have offered; it gets "algorithm" and "depth" as digest
 *    will, which it may begin;
 *  - the destination's prepare gets that as "offer", and replies with its own;
 *  - receive is called once, with args.json "snapshot", as the first and the final pass. */
typedef struct ferry_deferred {
  uint32_t struct_size;
  uint32_t reserved;
  /* Source, after the final pass and its digest: keep args.json "deposit", an object of the host's, beside what that pass has stored. The
   * final pass may get one as "deposit", too: what this call will bring if the state is the same afterwards. Who has kept that one with the
   * state has no more to do here when it comes again; another takes its place.
   * Result: "snapshot", the name by which both are found. [main] */
  ferry_call deposit;
  /* Either side: what is stored of the item of args.json "manifest" {"name", "digest"}. Result: "snapshots" [{"snapshot", "run", "time"
   * (ISO 8601), "complete": whether it has a deposit}], the newest first. [main] */
  ferry_call snapshots;
  /* Destination: finds args.json "snapshot": a name, a unique beginning of one, a run's id, or "latest". Result: "snapshot", the whole
   * name, and "deposit" as it was kept. FERRY_NOT_FOUND if there is none. [main] */
  ferry_call recall;
} ferry_deferred;

/* "ferry.follow/1", by get_extension: a provider whose passes stay for as long as args.json "stay" says, and can be told to end one sooner. */
typedef struct ferry_follow {
  uint32_t struct_size;
  uint32_t reserved;
  /* Source: end the running pass soon and in good order, as when its time is over. Must not wait. May come several times for one pass, and
   * after it has ended. [any] */
  void (*wind_up)(void *self);
} ferry_follow;

typedef struct ferry_module {
  uint32_t struct_size;
  uint32_t abi_minor;   /* FERRY_ABI_MINOR that it was built with */
  const char *name;     /* for people: "Example" */
  const char *version;  /* of the plugin */
  const char *vendor;
  uint32_t provider_count;
  uint32_t reserved;
  const ferry_provider *const *providers;
} ferry_module;

/* The one exported function. Called once, before anything else; returns the same module each time, NULL if it cannot work here. [main] */
const ferry_module *ferry_module_v1(void);

#ifdef __cplusplus
}
#endif
#endif
