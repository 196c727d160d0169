/*
 * data_out.c - what ohemdata writes: databases, records, lists of class names.
 *
 * An output that exists is never touched unless asked, and then only when every file in the
 * folder is one that ohemdata itself would have written there.
 */
#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/fs.h"
#include "base/mem.h"
#include "tools/data_cmd.h"

static const char *const db_files[] = { "data.mdb", "lock.mdb", "classes.txt" };

static bool is_db_file(const char *name)
{
    for (size_t i = 0; i < sizeof db_files / sizeof *db_files; i++)
        if (strcmp(name, db_files[i]) == 0)
            return true;
    return false;
}

static int remove_db(const char *path, struct ot_err *err)
{
    DIR *dir = opendir(path);
    const struct dirent *e;
    char file[1024];

    if (!dir)
        return ot_fail_sys(err, OT_ECREATE, errno, "--force: '%s' is not a database folder", path);
    while ((e = readdir(dir))) { /* NOLINT(concurrency-mt-unsafe): one thread, own DIR */
        if (strcmp(e->d_name, ".") != 0 && strcmp(e->d_name, "..") != 0 && !is_db_file(e->d_name)) {
            (void)ot_fail(err, OT_ECREATE, "--force: '%s' is not only a database: it has '%s'",
                          path, e->d_name);
            (void)closedir(dir);
            return err->code;
        }
    }
    (void)closedir(dir);
    for (size_t i = 0; i < sizeof db_files / sizeof *db_files; i++) {
        (void)ot_path_join(file, sizeof file, path, db_files[i]);
        if (unlink(file) < 0 && errno != ENOENT)
            return ot_fail_sys(err, OT_ECREATE, errno, "cannot remove '%s'", file);
    }
    if (rmdir(path) < 0)
        return ot_fail_sys(err, OT_ECREATE, errno, "cannot remove '%s'", path);
    return 0;
}

struct ot_db_writer *ot_data_create(const char *path, bool force, struct ot_err *err)
{
    if (ot_exists(path)) {
        if (!force) {
            (void)ot_fail(err, OT_ECREATE, "'%s' exists; --force replaces a database", path);
            return NULL;
        }
        if (remove_db(path, err) < 0)
            return NULL;
    }
    return ot_db_create(path, false, err);
}

int ot_data_put(struct ot_db_writer *w, const char *key, const ProtobufCMessage *m,
                struct ot_str *buf, struct ot_err *err)
{
    size_t n = protobuf_c_message_get_packed_size(m);

    if (ot_grow(&buf->buf, &buf->cap, n + 1, 1, err) < 0)
        return err->code;
    buf->len = protobuf_c_message_pack(m, (uint8_t *)buf->buf);
    return ot_db_put(w, (struct ot_bytes){ key, strlen(key) },
                     (struct ot_bytes){ buf->buf, buf->len }, err);
}

int ot_data_finish(struct ot_db_writer *w, int rc, struct ot_err *err)
{
    struct ot_err late = OT_ERR_INIT; /* the first failure is the one to tell */

    if (rc == 0)
        return ot_db_finish(w, true, err);
    (void)ot_db_finish(w, false, &late);
    return rc;
}

int ot_data_write_classes(const char *db, const char *const *name, int n, struct ot_err *err)
{
    struct ot_str s = { 0 };
    char path[1024];
    int rc;

    ot_str_puts(&s, "background\n");
    for (int i = 0; i < n; i++)
        ot_str_printf(&s, "%s\n", name[i]);
    (void)ot_path_join(path, sizeof path, db, "classes.txt");
    rc = ot_str_ok(&s, err);
    if (rc == 0)
        rc = ot_write_file_atomic(path, s.buf, s.len, err);
    ot_str_release(&s);
    return rc;
}

int ot_data_read_classes(const char *path, struct ot_data_names *names, struct ot_err *err)
{
    size_t n = 0, cap = 0;

    memset(names, 0, sizeof *names);
    if (!ot_exists(path))
        return 0;
    names->text = ot_read_file(path, (size_t)1 << 20, &n, err);
    if (!names->text)
        return err->code;
    for (char *p = names->text; *p;) {
        size_t len = strcspn(p, "\r\n");
        bool more = p[len] != '\0';

        if (ot_grow(&names->name, &cap, (size_t)names->n + 1, sizeof *names->name, err) < 0) {
            ot_data_names_release(names);
            return err->code;
        }
        names->name[names->n++] = p;
        if (!more)
            break;
        if (p[len] == '\r' && p[len + 1] == '\n')
            p[len++] = '\0';
        p[len] = '\0';
        p += len + 1;
    }
    return 0;
}

void ot_data_names_release(struct ot_data_names *names)
{
    ot_free(names->text);
    ot_free(names->name);
    memset(names, 0, sizeof *names);
}

int ot_data_chw(const struct ot_image *im, struct ot_str *chw, struct ot_err *err)
{
    size_t hw = (size_t)im->height * (size_t)im->width, c = (size_t)im->channels;

    if (ot_grow(&chw->buf, &chw->cap, hw * c + 1, 1, err) < 0)
        return err->code;
    for (size_t k = 0; k < c; k++)
        for (size_t i = 0; i < hw; i++)
            ((unsigned char *)chw->buf)[k * hw + i] = im->pixel[i * c + k];
    chw->len = hw * c;
    return 0;
}
