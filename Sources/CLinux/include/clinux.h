// What Swift cannot import from the system's headers: variadic functions, macros over ancillary data, and a safe fork.
#ifndef CLINUX_H
#define CLINUX_H
#include <stdint.h>
#include <sys/types.h>

// All return -errno on failure.

int clinux_open(const char *path, int flags, unsigned mode);
int clinux_openat(int folder, const char *path, int flags, unsigned mode);
// openat2 with RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS: the path cannot leave the folder.
int clinux_open_beneath(int folder, const char *path, int flags, unsigned mode);
int clinux_set_nonblocking(int fd, int on);
int clinux_set_cloexec(int fd, int on);
int clinux_rename(int from_folder, const char *from, int to_folder, const char *to, unsigned flags);
int64_t clinux_splice(int from, int to, uint64_t length, unsigned flags);
int clinux_syncfs(int fd);
// Whether the file system lives in memory alone, so that nothing is ever flushed.
int clinux_is_memory(int fd);
// The length; -ERANGE if it does not fit.
int64_t clinux_listxattr(const char *path, char *list, uint64_t size, int follow);
int64_t clinux_getxattr(const char *path, const char *name, void *value, uint64_t size, int follow);
// The same of an open file: no path is looked up.
int64_t clinux_flistxattr(int fd, char *list, uint64_t size);
int64_t clinux_fgetxattr(int fd, const char *name, void *value, uint64_t size);
int clinux_setxattr(const char *path, const char *name, const void *value, uint64_t size);
int clinux_pidfd_open(int pid);
int clinux_eventfd(void);
int clinux_pipe(int ends[2]);
int clinux_pipe_size(int fd, int size);
// Unsent bytes in a socket's queue.
int clinux_unsent(int fd);
int clinux_winsize(int fd, int *columns);

// One message: bytes with descriptors beside them. receive sets *fd_count to what came (at most 16, close-on-exec).
int64_t clinux_send_fds(int socket, const void *bytes, uint64_t length, const int *fds, int fd_count);
int64_t clinux_receive_fds(int socket, void *bytes, uint64_t length, int *fds, int *fd_count);
// Process, user and group at the other end of a unix socket.
int clinux_peer(int socket, int *pid, unsigned *uid);

enum { CLINUX_SESSION = 1, CLINUX_GROUP = 2, CLINUX_DIE_WITH_THREAD = 4 };
// Whose rights a program gets.
typedef struct clinux_identity {
  unsigned user, group;
  const unsigned *groups;
  uint64_t group_count;
} clinux_identity;
// Starts a program: descriptor map[2*i+1] of the child is a duplicate of map[2*i]; all others close. Without an identity it has the parent's
// rights. Returns the pid.
int clinux_spawn(const char *path, char *const argv[], char *const envp[], const char *directory, const int *map, int map_count, int flags,
                 const clinux_identity *identity);
// Gives this thread's file calls the rights of a user and their group. Root gets its own back the same way.
int clinux_act_as(unsigned user, unsigned group);
#endif
