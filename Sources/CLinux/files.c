#define _GNU_SOURCE
#include "files.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>

_Static_assert(CLINUX_O_PATH == O_PATH && CLINUX_AT_EMPTY_PATH == AT_EMPTY_PATH, "as the system has them");

static int result(long value) { return value < 0 ? -errno : (int)value; }

static int64_t seek(int fd, int64_t offset, int whence) {
  off_t found = lseek(fd, offset, whence);
  return found < 0 ? -errno : found;
}
int64_t clinux_seek_data(int fd, int64_t offset) { return seek(fd, offset, SEEK_DATA); }
int64_t clinux_seek_hole(int fd, int64_t offset) { return seek(fd, offset, SEEK_HOLE); }
int clinux_allocate(int fd, int64_t offset, int64_t length) { return result(fallocate(fd, 0, offset, length)); }
int clinux_punch_hole(int fd, int64_t offset, int64_t length) {
  return result(fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, offset, length));
}
int clinux_setxattr_through(const char *path, const char *name, const void *value, uint64_t size) {
  return result(setxattr(path, name, value, size, 0));
}
int clinux_removexattr(const char *path, const char *name, int follow) {
  return result(follow ? removexattr(path, name) : lremovexattr(path, name));
}

_Static_assert(CLINUX_IMMUTABLE == FS_IMMUTABLE_FL && CLINUX_APPEND_ONLY == FS_APPEND_FL, "as the kernel has them");
int clinux_get_flags(int fd) {
  int flags = 0;
  return ioctl(fd, FS_IOC_GETFLAGS, &flags) < 0 ? -errno : flags & (CLINUX_IMMUTABLE | CLINUX_APPEND_ONLY);
}
int clinux_set_flags(int fd, unsigned flags) {
  unsigned all = 0;
  if (ioctl(fd, FS_IOC_GETFLAGS, &all) < 0) return -errno;
  all = (all & ~(unsigned)(CLINUX_IMMUTABLE | CLINUX_APPEND_ONLY)) | flags;
  return ioctl(fd, FS_IOC_SETFLAGS, &all) < 0 ? -errno : 0;
}

int clinux_is_locked(int folder, const char *name) {
  struct statx found;
  if (statx(folder, name, AT_SYMLINK_NOFOLLOW | AT_STATX_DONT_SYNC, 0, &found) < 0) return -errno;
  return (found.stx_attributes & (STATX_ATTR_IMMUTABLE | STATX_ATTR_APPEND)) != 0;
}
