/* Fails one file-system call below a folder: the FAULT_AT-th of all processes that load this.

FAULT_UNDER   the folder
FAULT_COUNT   a file of eight bytes, the number of calls so far
FAULT_AT      which call fails; 0: none, they are only counted
FAULT_ERRNO   with what; 0: the process is killed in its place */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

static long *count;
static const char *under;
static long at;
static int error_number;

__attribute__((constructor)) static void begin(void) {
    int (*real)(const char *, int, ...) = dlsym(RTLD_NEXT, "open");
    const char *file = getenv("FAULT_COUNT");
    int fd = file ? real(file, O_RDWR) : -1;
    if (fd < 0) return;
    void *shared = mmap(0, sizeof(long), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    close(fd);
    under = getenv("FAULT_UNDER");
    at = atol(getenv("FAULT_AT"));
    error_number = atoi(getenv("FAULT_ERRNO"));
    if (shared != MAP_FAILED) count = shared;
}

static int is_under(int folder, const char *path) {
    char whole[PATH_MAX * 2], place[64];
    if (!count || !path) return 0;
    if (path[0] == '/') return strncmp(path, under, strlen(under)) == 0;
    if (folder == AT_FDCWD) {
        if (!getcwd(whole, PATH_MAX)) return 0;
    } else {
        snprintf(place, sizeof place, "/proc/self/fd/%d", folder);
        ssize_t size = readlink(place, whole, PATH_MAX);
        if (size < 0) return 0;
        whole[size] = 0;
    }
    return strncmp(whole, under, strlen(under)) == 0;
}

static int fails(int counts) {
    if (!counts) return 0;
    if (__atomic_add_fetch(count, 1, __ATOMIC_SEQ_CST) != at) return 0;
    if (!error_number) kill(getpid(), SIGKILL);
    errno = error_number;
    return 1;
}

#define REAL(name) static __typeof__(&name) real; if (!real) real = dlsym(RTLD_NEXT, #name)
#define WRITES(how) (((how) & O_ACCMODE) != O_RDONLY || ((how) & O_CREAT))
#define MODE mode_t mode = 0; if (how & (O_CREAT | O_TMPFILE)) { va_list more; va_start(more, how); mode = va_arg(more, mode_t); va_end(more); }

int open(const char *path, int how, ...) { REAL(open); MODE
    return fails(WRITES(how) && is_under(AT_FDCWD, path)) ? -1 : real(path, how, mode); }
int open64(const char *path, int how, ...) { REAL(open64); MODE
    return fails(WRITES(how) && is_under(AT_FDCWD, path)) ? -1 : real(path, how, mode); }
int openat(int folder, const char *path, int how, ...) { REAL(openat); MODE
    return fails(WRITES(how) && is_under(folder, path)) ? -1 : real(folder, path, how, mode); }
ssize_t write(int fd, const void *data, size_t size) { REAL(write);
    return fails(count && is_under(fd, ".")) ? -1 : real(fd, data, size); }
ssize_t pwrite(int fd, const void *data, size_t size, off_t from) { REAL(pwrite);
    return fails(count && is_under(fd, ".")) ? -1 : real(fd, data, size, from); }
int fsync(int fd) { REAL(fsync); return fails(is_under(fd, ".")) ? -1 : real(fd); }
int fdatasync(int fd) { REAL(fdatasync); return fails(is_under(fd, ".")) ? -1 : real(fd); }
int rename(const char *from, const char *to) { REAL(rename);
    return fails(is_under(AT_FDCWD, to)) ? -1 : real(from, to); }
int renameat(int one, const char *from, int two, const char *to) { REAL(renameat);
    return fails(is_under(two, to)) ? -1 : real(one, from, two, to); }
int link(const char *from, const char *to) { REAL(link);
    return fails(is_under(AT_FDCWD, to)) ? -1 : real(from, to); }
int linkat(int one, const char *from, int two, const char *to, int how) { REAL(linkat);
    return fails(is_under(two, to)) ? -1 : real(one, from, two, to, how); }
int mkdir(const char *path, mode_t mode) { REAL(mkdir);
    return fails(is_under(AT_FDCWD, path)) ? -1 : real(path, mode); }
