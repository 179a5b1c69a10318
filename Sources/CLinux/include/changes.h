// What tells of changes in file systems: fanotify, inotify, and handles of folders, which outlive their names.
#ifndef CLINUX_CHANGES_H
#define CLINUX_CHANGES_H
#include <stdint.h>
#include <sys/types.h>

// All return -errno on failure.

enum {
  CLINUX_CHANGE_LOST = 1,        // the queue was full: others are missing
  CLINUX_CHANGE_TOUCHED = 2,     // content or metadata
  CLINUX_CHANGE_APPEARED = 4,    // made, linked or moved here
  CLINUX_CHANGE_VANISHED = 8,    // removed or moved away
  CLINUX_CHANGE_MOVED_IN = 16,   // with APPEARED
  CLINUX_CHANGE_MOVED_OUT = 32,  // with VANISHED
  CLINUX_CHANGE_FOLDER = 64,     // what changed is a folder
  CLINUX_CHANGE_UNWATCHED = 128, // inotify: the watch is no more
};

// One event; its pointers lead into the buffer that it was read to.
struct clinux_change {
  unsigned what;
  const unsigned char *handle; // fanotify: of the folder; for clinux_open_handle
  uint32_t handle_length;
  const unsigned char *file;   // fanotify: of what has the name, where its content or metadata changed
  uint32_t file_length;
  int watch;                   // inotify: of the folder
  uint32_t cookie;             // inotify: joins the two halves of a move
  const unsigned char *name;   // in the folder
  uint32_t name_length;        // 0: the folder itself
};

// Events of a whole file system, with folders and names; non-blocking, close-on-exec.
int clinux_fanotify(void);
int clinux_fanotify_watch(int fanotify, int folder);
// Takes the event at *offset of what was read, and moves on. 1: an event, 0: the end.
int clinux_fanotify_next(const void *buffer, uint64_t length, uint64_t *offset, struct clinux_change *change);
// Opens a folder, or any entry, as a path only, by its handle; -ESTALE if it is no more. `near` is any folder of its file system.
int clinux_open_handle(int near, const unsigned char *handle, uint32_t length, int any);
// The handle of a name in a folder, or of the folder for the empty name, at most CLINUX_HANDLE bytes; returns its length.
enum { CLINUX_HANDLE = 132 };
int clinux_handle(int folder, const char *name, unsigned char *handle);

int clinux_inotify(void);
int clinux_inotify_watch(int inotify, const char *folder);
int clinux_inotify_unwatch(int inotify, int watch);
int clinux_inotify_next(const void *buffer, uint64_t length, uint64_t *offset, struct clinux_change *change);
#endif
