/* fs.c - POSIX files; the atomic write is tmp + fsync + rename + fsync of the directory. */
#include "base/fs.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/hash.h"
#include "base/mem.h"
#include "base/str.h"

char *ot_read_file(const char *path, size_t limit, size_t *n, struct ot_err *err)
{
    struct stat st;
    char *buf = NULL;
    size_t got = 0;
    int fd = open(path, O_RDONLY | O_CLOEXEC);

    if (fd < 0 || fstat(fd, &st) < 0) {
        (void)ot_fail_sys(err, OT_OK, errno, "cannot open '%s'", path);
        goto out;
    }
    if (S_ISDIR(st.st_mode)) {
        (void)ot_fail(err, OT_ENOINPUT, "'%s' is a directory, not a file", path);
        goto out;
    }
    if ((uint64_t)st.st_size > limit) {
        (void)ot_fail(err, OT_EDATA, "'%s' has %lld bytes, more than the limit of %zu", path,
                      (long long)st.st_size, limit);
        goto out;
    }
    buf = ot_alloc((size_t)st.st_size + 1, 1, err);
    while (buf && got < (size_t)st.st_size) {
        ssize_t r = read(fd, buf + got, (size_t)st.st_size - got);

        if (r < 0 && errno == EINTR)
            continue;
        if (r <= 0) {
            (void)ot_fail_sys(err, OT_EIO, r < 0 ? errno : EIO, "cannot read '%s'", path);
            ot_free(buf);
            buf = NULL;
            break;
        }
        got += (size_t)r;
    }
    *n = got;
out:
    if (fd >= 0)
        (void)close(fd);
    return buf;
}

int ot_hash_file(const char *path, uint64_t *hash, struct ot_err *err)
{
    char piece[65536];
    FILE *f = fopen(path, "rb");
    size_t n;
    int rc = 0;

    if (!f)
        return ot_fail_sys(err, OT_OK, errno, "cannot open '%s'", path);
    *hash = ot_hash64("", 0);
    while ((n = fread(piece, 1, sizeof piece, f)) > 0)
        *hash = ot_hash64_more(*hash, piece, n);
    if (ferror(f))
        rc = ot_fail(err, OT_EIO, "cannot read '%s'", path);
    (void)fclose(f);
    return rc;
}

int ot_write_fully(int fd, const char *p, size_t n)
{
    while (n) {
        ssize_t w = write(fd, p, n);

        if (w < 0 && errno == EINTR)
            continue;
        if (w <= 0)
            return -1;
        p += w;
        n -= (size_t)w;
    }
    return 0;
}

static void sync_dir(const char *path)
{
    char dir[1024];
    int fd = open(ot_path_dir(dir, sizeof dir, path), O_RDONLY | O_DIRECTORY | O_CLOEXEC);

    if (fd >= 0) {
        (void)fsync(fd);
        (void)close(fd);
    }
}

int ot_write_file_atomic(const char *path, const void *bytes, size_t n, struct ot_err *err)
{
    char tmp[1024];
    int fd;

    if ((size_t)snprintf(tmp, sizeof tmp, "%s.tmp", path) >= sizeof tmp)
        return ot_fail(err, OT_ECREATE, "path too long: '%s'", path);
    fd = open(tmp, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0666);
    if (fd < 0)
        return ot_fail_sys(err, OT_ECREATE, errno, "cannot create '%s'", tmp);
    if (ot_write_fully(fd, bytes, n) < 0 || fsync(fd) < 0) {
        int e = errno;

        (void)close(fd);
        (void)unlink(tmp);
        return ot_fail_sys(err, OT_EIO, e, "cannot write '%s' (%zu bytes)", path, n);
    }
    if (close(fd) < 0 || rename(tmp, path) < 0) {
        int e = errno;

        (void)unlink(tmp);
        return ot_fail_sys(err, OT_ECREATE, e, "cannot create '%s'", path);
    }
    sync_dir(path);
    return 0;
}

int ot_mkdir_p(const char *path, struct ot_err *err)
{
    char buf[1024];
    struct stat st;

    if ((size_t)snprintf(buf, sizeof buf, "%s", path) >= sizeof buf)
        return ot_fail(err, OT_ECREATE, "path too long: '%s'", path);
    for (char *p = buf + 1;; p++) {
        char c = *p;

        if (c != '/' && c != '\0')
            continue;
        *p = '\0';
        if (mkdir(buf, 0777) < 0 && errno != EEXIST)
            return ot_fail_sys(err, OT_ECREATE, errno, "cannot create directory '%s'", buf);
        *p = c;
        if (c == '\0')
            break;
    }
    if (stat(path, &st) < 0 || !S_ISDIR(st.st_mode))
        return ot_fail(err, OT_ECREATE, "'%s' exists and is not a directory", path);
    return 0;
}

int ot_remove_dir(const char *path, int depth)
{
    DIR *d = opendir(path);
    struct dirent *e;
    int rc = d ? 0 : -1;

    while (rc == 0 && (e = readdir(d))) {
        char child[1400];

        if (!strcmp(e->d_name, ".") || !strcmp(e->d_name, ".."))
            continue;
        (void)snprintf(child, sizeof child, "%s/%s", path, e->d_name);
        rc = unlink(child);
        if (rc < 0 && (errno == EISDIR || errno == EPERM) && depth > 0)
            rc = ot_remove_dir(child, depth - 1);
    }
    if (d)
        (void)closedir(d);
    return rc < 0 ? rc : rmdir(path);
}

bool ot_exists(const char *path)
{
    return access(path, F_OK) == 0;
}

bool ot_is_dir(const char *path)
{
    struct stat st;

    return stat(path, &st) == 0 && S_ISDIR(st.st_mode);
}

int64_t ot_free_bytes(const char *path)
{
    struct statvfs v;

    return statvfs(path, &v) == 0 ? (int64_t)v.f_bavail * (int64_t)v.f_frsize : -1;
}

char *ot_path_join(char *buf, size_t n, const char *dir, const char *name)
{
    if (name[0] == '/' || !dir[0])
        (void)snprintf(buf, n, "%s", name);
    else
        (void)snprintf(buf, n, "%s/%s", dir, name);
    return buf;
}

char *ot_path_dir(char *buf, size_t n, const char *path)
{
    const char *slash = strrchr(path, '/');

    if (!slash)
        (void)snprintf(buf, n, ".");
    else
        (void)snprintf(buf, n, "%.*s", slash == path ? 1 : (int)(slash - path), path);
    return buf;
}

int ot_lock_file(const char *path, struct ot_err *err)
{
    char who[256] = "", host[128] = "", now[32];
    int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0666), n;

    if (fd < 0)
        return ot_fail_sys(err, OT_ECREATE, errno, "cannot create lock '%s'", path);
    if (flock(fd, LOCK_EX | LOCK_NB) < 0) {
        ssize_t got = read(fd, who, sizeof who - 1);

        who[got > 0 ? got : 0] = '\0';
        who[strcspn(who, "\n")] = '\0';
        (void)close(fd);
        return ot_fail(err, OT_EBUSY, "'%s' is locked by another run (%s)", path,
                       who[0] ? who : "holder unknown");
    }
    (void)gethostname(host, sizeof host - 1);
    n = snprintf(who, sizeof who, "pid %ld on %s since %s\n", (long)getpid(), host,
                 ot_time_utc(now));
    if (ftruncate(fd, 0) < 0 || pwrite(fd, who, (size_t)n, 0) != n) {
        int e = errno;

        (void)close(fd);
        return ot_fail_sys(err, OT_EIO, e, "cannot write lock '%s'", path);
    }
    return fd;
}

void ot_unlock_file(int fd)
{
    if (fd >= 0)
        (void)close(fd);
}
