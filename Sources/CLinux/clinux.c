#define _GNU_SOURCE
#include "clinux.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <linux/openat2.h>
#include <linux/sockios.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/fsuid.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/statfs.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <sys/xattr.h>
#include <unistd.h>

static int result(long value) { return value < 0 ? -errno : (int)value; }

int clinux_open(const char *path, int flags, unsigned mode) { return result(open(path, flags | O_CLOEXEC, mode)); }
int clinux_openat(int folder, const char *path, int flags, unsigned mode) {
  return result(openat(folder, path, flags | O_CLOEXEC, mode));
}
int clinux_open_beneath(int folder, const char *path, int flags, unsigned mode) {
  struct open_how how = {.flags = (uint64_t)(flags | O_CLOEXEC), .mode = mode, .resolve = RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS};
  return result(syscall(SYS_openat2, folder, path, &how, sizeof how));
}
int clinux_set_nonblocking(int fd, int on) {
  int flags = fcntl(fd, F_GETFL);
  return flags < 0 ? -errno : result(fcntl(fd, F_SETFL, on ? flags | O_NONBLOCK : flags & ~O_NONBLOCK));
}
int clinux_set_cloexec(int fd, int on) { return result(fcntl(fd, F_SETFD, on ? FD_CLOEXEC : 0)); }
int clinux_rename(int from_folder, const char *from, int to_folder, const char *to, unsigned flags) {
  return result(renameat2(from_folder, from, to_folder, to, flags));
}
int64_t clinux_splice(int from, int to, uint64_t length, unsigned flags) {
  ssize_t moved = splice(from, NULL, to, NULL, length, flags);
  return moved < 0 ? -errno : moved;
}
int clinux_syncfs(int fd) { return result(syncfs(fd)); }
int clinux_is_memory(int fd) {
  struct statfs kind;
  if (fstatfs(fd, &kind) < 0) return -errno;
  return kind.f_type == TMPFS_MAGIC || kind.f_type == RAMFS_MAGIC;
}
int64_t clinux_listxattr(const char *path, char *list, uint64_t size, int follow) {
  ssize_t length = follow ? listxattr(path, list, size) : llistxattr(path, list, size);
  return length < 0 ? -errno : length;
}
int64_t clinux_getxattr(const char *path, const char *name, void *value, uint64_t size, int follow) {
  ssize_t length = follow ? getxattr(path, name, value, size) : lgetxattr(path, name, value, size);
  return length < 0 ? -errno : length;
}
int64_t clinux_flistxattr(int fd, char *list, uint64_t size) {
  ssize_t length = flistxattr(fd, list, size);
  return length < 0 ? -errno : length;
}

int64_t clinux_fgetxattr(int fd, const char *name, void *value, uint64_t size) {
  ssize_t length = fgetxattr(fd, name, value, size);
  return length < 0 ? -errno : length;
}

int clinux_setxattr(const char *path, const char *name, const void *value, uint64_t size) {
  return result(lsetxattr(path, name, value, size, 0));
}
int clinux_pidfd_open(int pid) { return result(syscall(SYS_pidfd_open, pid, 0)); }
int clinux_eventfd(void) { return result(eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)); }
int clinux_pipe(int ends[2]) { return result(pipe2(ends, O_CLOEXEC)); }
int clinux_pipe_size(int fd, int size) { return result(fcntl(fd, F_SETPIPE_SZ, size)); }
int clinux_unsent(int fd) {
  int bytes = 0;
  return ioctl(fd, SIOCOUTQ, &bytes) < 0 ? -errno : bytes;
}
int clinux_winsize(int fd, int *columns) {
  struct winsize size;
  if (ioctl(fd, TIOCGWINSZ, &size) < 0) return -errno;
  *columns = size.ws_col;
  return 0;
}

enum { MOST_FDS = 16 };
int64_t clinux_send_fds(int socket, const void *bytes, uint64_t length, const int *fds, int fd_count) {
  if (fd_count < 0 || fd_count > MOST_FDS) return -EINVAL;
  union {
    struct cmsghdr header;
    char room[CMSG_SPACE(sizeof(int) * MOST_FDS)];
  } control;
  struct iovec part = {.iov_base = (void *)bytes, .iov_len = length};
  struct msghdr message = {.msg_iov = &part, .msg_iovlen = 1};
  if (fd_count > 0) {
    memset(&control, 0, sizeof control);
    message.msg_control = control.room;
    message.msg_controllen = CMSG_SPACE(sizeof(int) * (size_t)fd_count);
    struct cmsghdr *header = CMSG_FIRSTHDR(&message);
    header->cmsg_level = SOL_SOCKET;
    header->cmsg_type = SCM_RIGHTS;
    header->cmsg_len = CMSG_LEN(sizeof(int) * (size_t)fd_count);
    memcpy(CMSG_DATA(header), fds, sizeof(int) * (size_t)fd_count);
  }
  ssize_t sent;
  do sent = sendmsg(socket, &message, MSG_NOSIGNAL);
  while (sent < 0 && errno == EINTR);
  return sent < 0 ? -errno : sent;
}
int64_t clinux_receive_fds(int socket, void *bytes, uint64_t length, int *fds, int *fd_count) {
  union {
    struct cmsghdr header;
    char room[CMSG_SPACE(sizeof(int) * MOST_FDS)];
  } control;
  struct iovec part = {.iov_base = bytes, .iov_len = length};
  struct msghdr message = {.msg_iov = &part, .msg_iovlen = 1, .msg_control = control.room, .msg_controllen = sizeof control.room};
  ssize_t received;
  do received = recvmsg(socket, &message, MSG_CMSG_CLOEXEC);
  while (received < 0 && errno == EINTR);
  *fd_count = 0;
  if (received < 0) return -errno;
  for (struct cmsghdr *header = CMSG_FIRSTHDR(&message); header; header = CMSG_NXTHDR(&message, header)) {
    if (header->cmsg_level != SOL_SOCKET || header->cmsg_type != SCM_RIGHTS) continue;
    int count = (int)((header->cmsg_len - CMSG_LEN(0)) / sizeof(int));
    for (int i = 0; i < count; i++) {
      int fd;
      memcpy(&fd, CMSG_DATA(header) + sizeof(int) * (size_t)i, sizeof fd);
      if (*fd_count < MOST_FDS)
        fds[(*fd_count)++] = fd;
      else
        close(fd);
    }
  }
  return received;
}
int clinux_peer(int socket, int *pid, unsigned *uid) {
  struct ucred peer;
  socklen_t length = sizeof peer;
  if (getsockopt(socket, SOL_SOCKET, SO_PEERCRED, &peer, &length) < 0) return -errno;
  *pid = peer.pid;
  *uid = peer.uid;
  return 0;
}

int clinux_act_as(unsigned user, unsigned group) {
  setfsgid(group);
  setfsuid(user);
  // An id that is none changes nothing and tells what it is now.
  return (unsigned)setfsgid((gid_t)-1) == group && (unsigned)setfsuid((uid_t)-1) == user ? 0 : -EPERM;
}

// Asked of the kernel itself: the C library would look for threads that a fork has left behind.
static int become(const clinux_identity *identity) {
  unsigned user = identity->user, group = identity->group;
  int failed = syscall(SYS_setgroups, identity->group_count, identity->groups) < 0 || syscall(SYS_setresgid, group, group, group) < 0
               || syscall(SYS_setresuid, user, user, user) < 0;
  return failed ? errno : 0;
}

// Only async-signal-safe calls between fork and exec: the parent has threads.
static void child(const char *path, char *const argv[], char *const envp[], const char *directory, const int *map, int map_count, int flags,
                  const clinux_identity *identity, int report, pid_t parent) {
  if (flags & CLINUX_SESSION) setsid();
  if (flags & CLINUX_GROUP) setpgid(0, 0);
  int failed = identity ? become(identity) : 0;
  // After that: another user's process is tied to nobody.
  if (flags & CLINUX_DIE_WITH_THREAD) {
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (getppid() != parent) _exit(127);
  }
  int highest = report;
  for (int i = 0; i < map_count; i++) {
    if (map[2 * i] > highest) highest = map[2 * i];
    if (map[2 * i + 1] > highest) highest = map[2 * i + 1];
  }
  // First out of the way of all targets, then into place: a source may be another's target.
  int moved[32];
  if (!failed && map_count > 32) failed = E2BIG;
  for (int i = 0; !failed && i < map_count; i++)
    if ((moved[i] = fcntl(map[2 * i], F_DUPFD_CLOEXEC, highest + 1)) < 0) failed = errno;
  int kept = failed ? -1 : fcntl(report, F_DUPFD_CLOEXEC, highest + 1);
  if (!failed && kept < 0) failed = errno;
  if (kept >= 0) report = kept;
  for (int i = 0; !failed && i < map_count; i++)
    if (dup2(moved[i], map[2 * i + 1]) < 0) failed = errno;
  if (!failed && directory && chdir(directory) < 0) failed = errno;
  if (!failed) {
    struct sigaction plain = {.sa_handler = SIG_DFL};
    for (int number = 1; number < NSIG; number++) sigaction(number, &plain, NULL);
    sigset_t none;
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, NULL);
    // Every other descriptor of the parent is close-on-exec already; one opened by a library might not be.
    unsigned mapped_end = 2;
    for (int i = 0; i < map_count; i++)
      if ((unsigned)map[2 * i + 1] > mapped_end) mapped_end = (unsigned)map[2 * i + 1];
    syscall(SYS_close_range, mapped_end + 1, ~0u, 4u /* CLOSE_RANGE_CLOEXEC */);
    execve(path, argv, envp);
    failed = errno;
  }
  ssize_t ignored = write(report, &failed, sizeof failed);
  (void)ignored;
  _exit(127);
}

int clinux_spawn(const char *path, char *const argv[], char *const envp[], const char *directory, const int *map, int map_count, int flags,
                 const clinux_identity *identity) {
  int report[2];
  if (pipe2(report, O_CLOEXEC) < 0) return -errno;
  sigset_t all, before;
  sigfillset(&all);
  pthread_sigmask(SIG_SETMASK, &all, &before);
  pid_t parent = getpid();
  pid_t pid = fork();
  if (pid == 0) child(path, argv, envp, directory, map, map_count, flags, identity, report[1], parent);
  int fork_error = errno;
  pthread_sigmask(SIG_SETMASK, &before, NULL);
  close(report[1]);
  int failed = pid < 0 ? fork_error : 0;
  if (!failed) {
    ssize_t got;
    do got = read(report[0], &failed, sizeof failed);
    while (got < 0 && errno == EINTR);
    if (got != sizeof failed) failed = 0;
    if (failed) waitpid(pid, NULL, 0);
  }
  close(report[0]);
  return failed ? -failed : (int)pid;
}
