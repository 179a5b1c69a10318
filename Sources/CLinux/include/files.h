// What file systems can do beyond POSIX: holes, flags, removal of attributes.
#ifndef CLINUX_FILES_H
#define CLINUX_FILES_H
#include <stdint.h>
#include <sys/types.h>

// All return -errno on failure.

// Open flags and path flags that Swift does not see.
enum { CLINUX_O_PATH = 0x200000, CLINUX_AT_EMPTY_PATH = 0x1000 };

// The next offset that holds data, or a hole; -ENXIO if there is none.
int64_t clinux_seek_data(int fd, int64_t offset);
int64_t clinux_seek_hole(int fd, int64_t offset);
// Blocks for a range, reading as zeros; or none any more, at the same size of the file.
int clinux_allocate(int fd, int64_t offset, int64_t length);
int clinux_punch_hole(int fd, int64_t offset, int64_t length);
// Follows links: for a path below /proc/self/fd, which leads to what is open, be it a link.
int clinux_setxattr_through(const char *path, const char *name, const void *value, uint64_t size);
int clinux_removexattr(const char *path, const char *name, int follow);

// Flags of a file that keep even root from changing it, as chattr sets them.
enum { CLINUX_IMMUTABLE = 0x10, CLINUX_APPEND_ONLY = 0x20 };
int clinux_get_flags(int fd);
int clinux_set_flags(int fd, unsigned flags);
// Whether a name in a folder is immutable or append-only: 1, 0 or -errno.
int clinux_is_locked(int folder, const char *name);
#endif
