#define _GNU_SOURCE
#include "tree.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <linux/mount.h>
#include <linux/openat2.h>
#include <stdio.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <sys/xattr.h>
#include <unistd.h>

static int64_t result(int64_t value) { return value < 0 ? -errno : value; }

int clinux_open_inside(int folder, const char *path, int flags, int one_file_system) {
  struct open_how how = {.flags = (uint64_t)(flags | O_CLOEXEC), .resolve = RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS | RESOLVE_NO_MAGICLINKS};
  if (one_file_system) how.resolve |= RESOLVE_NO_XDEV;
  long fd;
  // Resolving gives up when something is renamed meanwhile.
  do fd = syscall(SYS_openat2, folder, path, &how, sizeof how);
  while (fd < 0 && (errno == EAGAIN || errno == EINTR));
  return (int)result(fd);
}
int clinux_open_quietly(int folder, const char *name) {
  int flags = O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK;
  int fd = openat(folder, name, flags | O_NOATIME);
  // Only a file's owner and root may.
  if (fd < 0 && errno == EPERM) fd = openat(folder, name, flags);
  return (int)result(fd);
}
int64_t clinux_getdents(int folder, void *buffer, uint64_t size) { return result(syscall(SYS_getdents64, folder, buffer, size)); }
int64_t clinux_pread(int fd, void *bytes, uint64_t length, int64_t offset, int flags) {
  struct iovec part = {.iov_base = bytes, .iov_len = length};
  return result(flags ? preadv2(fd, &part, 1, offset, flags) : pread(fd, bytes, length, offset));
}
int64_t clinux_pwrite(int fd, const void *bytes, uint64_t length, int64_t offset, int flags) {
  struct iovec part = {.iov_base = (void *)bytes, .iov_len = length};
  return result(flags ? pwritev2(fd, &part, 1, offset, flags) : pwrite(fd, bytes, length, offset));
}
int clinux_set_direct(int fd, int on) {
  int flags = fcntl(fd, F_GETFL);
  return (int)result(flags < 0 ? flags : fcntl(fd, F_SETFL, on ? flags | O_DIRECT : flags & ~O_DIRECT));
}
int clinux_clone(int to, int from) { return (int)result(ioctl(to, FICLONE, from)); }
int64_t clinux_copy_range(int from, int to, int64_t offset, uint64_t length) {
  off_t in = offset, out = offset;
  return result(copy_file_range(from, &in, to, &out, length, 0));
}
int clinux_fsetxattr(int fd, const char *name, const void *value, uint64_t size) { return (int)result(fsetxattr(fd, name, value, size, 0)); }
int clinux_fremovexattr(int fd, const char *name) { return (int)result(fremovexattr(fd, name)); }
int clinux_mknodat(int folder, const char *name, unsigned mode, uint64_t device) {
  return (int)result(mknodat(folder, name, mode, (dev_t)device));
}
int clinux_set_time(int fd, int64_t seconds, uint32_t nanoseconds) {
  struct timespec times[2] = {{.tv_nsec = UTIME_OMIT}, {.tv_sec = seconds, .tv_nsec = nanoseconds}};
  return (int)result(futimens(fd, times));
}
int clinux_set_time_at(int folder, const char *name, int64_t seconds, uint32_t nanoseconds) {
  struct timespec times[2] = {{.tv_nsec = UTIME_OMIT}, {.tv_sec = seconds, .tv_nsec = nanoseconds}};
  return (int)result(utimensat(folder, name, times, AT_SYMLINK_NOFOLLOW));
}
int64_t clinux_cached_pages(int fd, int64_t offset, int64_t length) {
  struct {
    uint64_t offset, length;
  } range = {(uint64_t)offset, (uint64_t)length};
  struct {
    uint64_t cached, dirty, writeback, evicted, recently_evicted;
  } found;
  int64_t failed = result(syscall(451 /* cachestat */, fd, &range, &found, 0));
  return failed < 0 ? failed : (int64_t)found.cached;
}

// sys/mount.h and linux/mount.h do not go together in every C library: what is needed of the former is this.
int mount(const char *, const char *, const char *, unsigned long, const void *);
enum { mount_recursive = 0x4000, mount_private = 1 << 18 };

int clinux_private_mounts(void) {
  if (unshare(CLONE_FS | CLONE_NEWNS)) return -errno;
  return (int)result(mount("none", "/", NULL, mount_recursive | mount_private, NULL));
}
int clinux_bind(const char *from, const char *at, int user_namespace) {
  int tree = (int)result(syscall(SYS_open_tree, AT_FDCWD, from, OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC | AT_RECURSIVE));
  if (tree < 0) return tree;
  int failed = 0;
  if (user_namespace >= 0) {
    struct mount_attr change = {.attr_set = MOUNT_ATTR_IDMAP, .userns_fd = (uint64_t)user_namespace};
    failed = (int)result(syscall(SYS_mount_setattr, tree, "", AT_EMPTY_PATH | AT_RECURSIVE, &change, sizeof change));
  }
  if (!failed) failed = (int)result(syscall(SYS_move_mount, tree, "", AT_FDCWD, at, MOVE_MOUNT_F_EMPTY_PATH));
  close(tree);
  return failed;
}

int clinux_overlay(int folder) {
  static const char *const layers[] = {"lower", "upper", "work"};
  int context = (int)result(syscall(SYS_fsopen, "overlay", FSOPEN_CLOEXEC));
  if (context < 0) return context;
  int failed = 0;
  for (int layer = 0; layer < 3 && !failed; layer++) {
    char key[16], path[64];
    snprintf(key, sizeof key, "%sdir", layers[layer]);
    snprintf(path, sizeof path, "/proc/self/fd/%d/%s", folder, layers[layer]);
    failed = (int)result(syscall(SYS_fsconfig, context, FSCONFIG_SET_STRING, key, path, 0));
  }
  if (!failed) failed = (int)result(syscall(SYS_fsconfig, context, FSCONFIG_CMD_CREATE, NULL, NULL, 0));
  int made = failed ? failed : (int)result(syscall(SYS_fsmount, context, FSMOUNT_CLOEXEC, 0));
  close(context);
  return made;
}

static int write_map(int pid, const char *kind, const char *text) {
  char path[64];
  snprintf(path, sizeof path, "/proc/%d/%s_map", pid, kind);
  int fd = open(path, O_WRONLY | O_CLOEXEC);
  if (fd < 0) return -errno;
  size_t length = strlen(text);
  ssize_t written = write(fd, text, length);
  int failed = written == (ssize_t)length ? 0 : written < 0 ? -errno : -EIO;
  close(fd);
  return failed;
}
int clinux_user_namespace(const char *users, const char *groups) {
  // A namespace begins with a process. That one does nothing, and ends as soon as the namespace is held by a descriptor.
  int pid = (int)result(syscall(SYS_clone, CLONE_NEWUSER | SIGCHLD, NULL, NULL, NULL, NULL));
  if (pid == 0) {
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    for (;;) pause();
  }
  if (pid < 0) return pid;
  int made = write_map(pid, "uid", users);
  if (!made) made = write_map(pid, "gid", groups);
  if (!made) {
    char path[64];
    snprintf(path, sizeof path, "/proc/%d/ns/user", pid);
    made = (int)result(open(path, O_RDONLY | O_CLOEXEC));
  }
  kill(pid, SIGKILL);
  waitpid(pid, NULL, 0);
  return made;
}
