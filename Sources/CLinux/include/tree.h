// What moving file trees needs of the kernel beyond what Swift imports. All return -errno on failure.
#ifndef CLINUX_TREE_H
#define CLINUX_TREE_H
#include <stdint.h>

// openat2 that cannot leave the folder, follows no link and, where told, enters no other file system.
int clinux_open_inside(int folder, const char *path, int flags, int one_file_system);
// Opens a file to be read: no link is followed, nothing is waited for and, where that is allowed, no time of access is left.
int clinux_open_quietly(int folder, const char *name);
// One buffer of linux_dirent64 records: inode (8), offset (8), length of the record (2), type (1), name and NUL.
int64_t clinux_getdents(int folder, void *buffer, uint64_t size);
enum { CLINUX_DONTCACHE = 0x80 /* RWF_DONTCACHE, since Linux 6.14 */ };
int64_t clinux_pread(int fd, void *bytes, uint64_t length, int64_t offset, int flags);
int64_t clinux_pwrite(int fd, const void *bytes, uint64_t length, int64_t offset, int flags);
// From now on what is written goes to the disk and not through the page cache: whole pages, from where a page may begin. Or no longer.
int clinux_set_direct(int fd, int on);
// Makes a file share another's blocks, where the file system can.
int clinux_clone(int to, int from);
// Copies within the kernel; the number of bytes.
int64_t clinux_copy_range(int from, int to, int64_t offset, uint64_t length);
int clinux_fsetxattr(int fd, const char *name, const void *value, uint64_t size);
int clinux_fremovexattr(int fd, const char *name);
int clinux_mknodat(int folder, const char *name, unsigned mode, uint64_t device);
// Sets the time of the last change of content, of an open file or of a name that is not followed.
int clinux_set_time(int fd, int64_t seconds, uint32_t nanoseconds);
int clinux_set_time_at(int folder, const char *name, int64_t seconds, uint32_t nanoseconds);
// Pages of a file that are in memory; -ENOSYS before Linux 6.5.
int64_t clinux_cached_pages(int fd, int64_t offset, int64_t length);

// What this thread mounts from now on only it sees, and what it starts.
int clinux_private_mounts(void);
// Mounts a folder, with what is mounted in it, at another one; with a user namespace, or -1, whose ids inside are those of the disk and whose ids
// outside are those that are seen.
int clinux_bind(const char *from, const char *at, int user_namespace);
// An overlay of the folders `lower`, `upper` and `work` in a folder: its root, which is mounted nowhere and goes with its descriptor.
int clinux_overlay(int folder);
// A user namespace with these maps, in the words of /proc/PID/uid_map.
int clinux_user_namespace(const char *users, const char *groups);
#endif
