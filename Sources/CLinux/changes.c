#define _GNU_SOURCE
#include "changes.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/fanotify.h>
#include <string.h>
#include <sys/fanotify.h>
#include <sys/inotify.h>
#include <sys/syscall.h>
#include <unistd.h>

static int result(long value) { return value < 0 ? -errno : (int)value; }

// A handle in one piece of memory: its type, then its bytes.
enum { MOST_HANDLE = 128, TYPE = sizeof(int32_t) };
_Static_assert(CLINUX_HANDLE == TYPE + MOST_HANDLE, "a handle fits");
struct handle {
  struct file_handle header;
  unsigned char bytes[MOST_HANDLE];
};

int clinux_fanotify(void) {
  return result(fanotify_init(FAN_CLASS_NOTIF | FAN_REPORT_DFID_NAME | FAN_REPORT_FID | FAN_CLOEXEC | FAN_NONBLOCK, O_RDONLY | O_CLOEXEC | O_LARGEFILE));
}

int clinux_fanotify_watch(int fanotify, int folder) {
  uint64_t mask = FAN_MODIFY | FAN_ATTRIB | FAN_CLOSE_WRITE | FAN_CREATE | FAN_DELETE | FAN_MOVED_FROM | FAN_MOVED_TO | FAN_ONDIR;
  return result(fanotify_mark(fanotify, FAN_MARK_ADD | FAN_MARK_FILESYSTEM, mask, folder, NULL));
}

static unsigned meaning(uint64_t mask) {
  unsigned what = 0;
  if (mask & FAN_Q_OVERFLOW) what |= CLINUX_CHANGE_LOST;
  if (mask & (FAN_MODIFY | FAN_ATTRIB | FAN_CLOSE_WRITE)) what |= CLINUX_CHANGE_TOUCHED;
  if (mask & (FAN_CREATE | FAN_MOVED_TO)) what |= CLINUX_CHANGE_APPEARED;
  if (mask & (FAN_DELETE | FAN_MOVED_FROM)) what |= CLINUX_CHANGE_VANISHED;
  if (mask & FAN_MOVED_TO) what |= CLINUX_CHANGE_MOVED_IN;
  if (mask & FAN_MOVED_FROM) what |= CLINUX_CHANGE_MOVED_OUT;
  if (mask & FAN_ONDIR) what |= CLINUX_CHANGE_FOLDER;
  return what;
}

int clinux_fanotify_next(const void *buffer, uint64_t length, uint64_t *offset, struct clinux_change *change) {
  struct fanotify_event_metadata event;
  if (*offset + sizeof event > length) return 0;
  const unsigned char *start = (const unsigned char *)buffer + *offset;
  memcpy(&event, start, sizeof event);
  if (event.vers != FANOTIFY_METADATA_VERSION) return -EPROTO;
  if (event.event_len < event.metadata_len || *offset + event.event_len > length) return -EPROTO;
  *offset += event.event_len;
  memset(change, 0, sizeof *change);
  change->what = meaning(event.mask);
  for (uint32_t at = event.metadata_len; at + sizeof(struct fanotify_event_info_fid) + sizeof(struct file_handle) <= event.event_len;) {
    struct fanotify_event_info_fid info;
    memcpy(&info, start + at, sizeof info);
    if (info.hdr.len == 0 || at + info.hdr.len > event.event_len) return -EPROTO;
    int names = info.hdr.info_type == FAN_EVENT_INFO_TYPE_DFID_NAME;
    if (names || info.hdr.info_type == FAN_EVENT_INFO_TYPE_DFID || info.hdr.info_type == FAN_EVENT_INFO_TYPE_FID) {
      const unsigned char *raw = start + at + sizeof info;
      uint32_t size;
      memcpy(&size, raw, sizeof size);
      uint32_t used = (uint32_t)sizeof info + (uint32_t)sizeof(struct file_handle) + size;
      if (size > MOST_HANDLE || used > info.hdr.len) return -EPROTO;
      if (info.hdr.info_type == FAN_EVENT_INFO_TYPE_FID) {
        change->file = raw + sizeof size;
        change->file_length = TYPE + size;
      } else {
        change->handle = raw + sizeof size;
        change->handle_length = TYPE + size;
      }
      if (names) {
        change->name = raw + sizeof(struct file_handle) + size;
        change->name_length = (uint32_t)strnlen((const char *)change->name, info.hdr.len - used);
        if (change->name_length == 1 && change->name[0] == '.') change->name_length = 0;
      }
    }
    at += info.hdr.len;
  }
  return 1;
}

int clinux_open_handle(int near, const unsigned char *handle, uint32_t length, int any) {
  if (length < TYPE || length > TYPE + MOST_HANDLE) return -EINVAL;
  struct handle whole = {.header.handle_bytes = length - TYPE};
  memcpy(&whole.header.handle_type, handle, TYPE);
  memcpy((unsigned char *)&whole + sizeof(struct file_handle), handle + TYPE, length - TYPE);
  return result(open_by_handle_at(near, &whole.header, O_PATH | (any ? O_NOFOLLOW : O_DIRECTORY) | O_CLOEXEC));
}

int clinux_handle(int folder, const char *name, unsigned char *handle) {
  struct handle whole = {.header.handle_bytes = MOST_HANDLE};
  int mount;
  if (name_to_handle_at(folder, name, &whole.header, &mount, *name ? 0 : AT_EMPTY_PATH) < 0) return -errno;
  memcpy(handle, &whole.header.handle_type, TYPE);
  memcpy(handle + TYPE, (unsigned char *)&whole + sizeof(struct file_handle), whole.header.handle_bytes);
  return (int)(TYPE + whole.header.handle_bytes);
}

int clinux_inotify(void) { return result(inotify_init1(IN_CLOEXEC | IN_NONBLOCK)); }
int clinux_inotify_watch(int inotify, const char *folder) {
  uint32_t mask = IN_MODIFY | IN_ATTRIB | IN_CLOSE_WRITE | IN_CREATE | IN_DELETE | IN_MOVED_FROM | IN_MOVED_TO;
  return result(inotify_add_watch(inotify, folder, mask | IN_ONLYDIR));
}
int clinux_inotify_unwatch(int inotify, int watch) { return result(inotify_rm_watch(inotify, watch)); }

int clinux_inotify_next(const void *buffer, uint64_t length, uint64_t *offset, struct clinux_change *change) {
  struct inotify_event event;
  if (*offset + sizeof event > length) return 0;
  const unsigned char *start = (const unsigned char *)buffer + *offset;
  memcpy(&event, start, sizeof event);
  if (*offset + sizeof event + event.len > length) return -EPROTO;
  *offset += sizeof event + event.len;
  memset(change, 0, sizeof *change);
  if (event.mask & IN_Q_OVERFLOW) change->what |= CLINUX_CHANGE_LOST;
  if (event.mask & (IN_MODIFY | IN_ATTRIB | IN_CLOSE_WRITE)) change->what |= CLINUX_CHANGE_TOUCHED;
  if (event.mask & (IN_CREATE | IN_MOVED_TO)) change->what |= CLINUX_CHANGE_APPEARED;
  if (event.mask & (IN_DELETE | IN_MOVED_FROM)) change->what |= CLINUX_CHANGE_VANISHED;
  if (event.mask & IN_MOVED_TO) change->what |= CLINUX_CHANGE_MOVED_IN;
  if (event.mask & IN_MOVED_FROM) change->what |= CLINUX_CHANGE_MOVED_OUT;
  if (event.mask & IN_ISDIR) change->what |= CLINUX_CHANGE_FOLDER;
  if (event.mask & (IN_IGNORED | IN_UNMOUNT)) change->what |= CLINUX_CHANGE_UNWATCHED;
  change->watch = event.wd;
  change->cookie = event.cookie;
  change->name = start + sizeof event;
  change->name_length = (uint32_t)strnlen((const char *)change->name, event.len);
  return 1;
}
