/*
 * run_nets.c - every prototxt of a folder, parsed, planned and run for a step.
 *
 * usage: run_nets [DIR] [--batch N] [-v] [--json FILE]      (DIR: ../shared/compat)
 *
 * A line a net and phase, a line a solver: OK, SKIP (with the layer type that is not supported) or
 * FAIL (with the error).  Databases, mean images and weights that are not there are made in a
 * temporary folder.  Ends with `N passed, N failed, N skipped`; exit status 1 on a failure.
 */
#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/fs.h"
#include "base/log.h"
#include "base/mem.h"
#include "proto/upgrade.h"
#include "tests/nets_run.h"

/* ---- what is said ---------------------------------------------------------------------------- */

static const char *below(const struct nets_run *r, const char *file)
{
    size_t n = strlen(r->dir);

    return strncmp(file, r->dir, n) == 0 && file[n] == '/' ? file + n + 1 : file;
}

static void json_begin(struct nets_run *r, const char *file, const char *status)
{
    ot_str_puts(&r->json, r->json.len ? ",\n  { \"file\": \"" : "  { \"file\": \"");
    ot_str_json(&r->json, below(r, file));
    ot_str_printf(&r->json, "\", \"status\": \"%s\"", status);
}

void nets_say(struct nets_run *r, const char *file, const char *status, const char *what)
{
    r->passed += status[0] == 'O';
    r->failed += status[0] == 'F';
    r->skipped += status[0] == 'S';
    ot_out("%-4s %s: %s\n", status, below(r, file), what);
    json_begin(r, file, status);
    ot_str_puts(&r->json, ", \"text\": \"");
    ot_str_json(&r->json, what);
    ot_str_puts(&r->json, "\" }");
}

void nets_fail(struct nets_run *r, const char *file, const char *phase, const struct ot_err *err)
{
    char text[1200], all[1300];

    (void)snprintf(all, sizeof all, "%s%s%s", phase, phase[0] ? ": " : "",
                   ot_err_str(err, text, sizeof text));
    nets_say(r, file, "FAIL", all);
}

void nets_ok(struct nets_run *r, const char *file, const struct nets_phase *p, const char *note)
{
    const char *phase = nets_phase_name(p->phase);

    r->passed++;
    ot_out("OK   %s %s: %d layers, %zu parameters, batch %d, %.4g GFLOPs forward, %.1f MiB, ",
           below(r, file), phase, p->layers, p->params, p->batch, p->gflops,
           (double)p->memory / (1 << 20));
    if (p->has_loss)
        ot_out("loss %.4g, ", p->loss);
    ot_out("%.2f s%s\n", p->seconds, note);
    json_begin(r, file, "OK");
    ot_str_printf(&r->json,
                  ", \"phase\": \"%s\", \"layers\": %d, \"parameters\": %zu, \"batch\": %d, "
                  "\"gflops\": %.6g, \"bytes\": %zu, \"loss\": ",
                  phase, p->layers, p->params, p->batch, p->gflops, p->memory);
    if (p->has_loss)
        ot_str_json_num(&r->json, p->loss);
    else
        ot_str_puts(&r->json, "null");
    ot_str_printf(&r->json, ", \"seconds\": %.4f }", p->seconds);
}

/* ---- the files ------------------------------------------------------------------------------- */

static int by_name(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

static bool is_prototxt(const char *name)
{
    size_t n = strlen(name), m = strlen(".prototxt");

    return n > m && !strcmp(name + n - m, ".prototxt");
}

static int walk(struct nets_run *r, const char *dir, int depth, struct ot_err *err)
{
    DIR *d = opendir(dir);
    int rc = d ? 0 : ot_fail(err, OT_ENOINPUT, "cannot read the folder '%s'", dir);

    for (struct dirent *e = d ? readdir(d) : NULL; e && rc == 0; e = readdir(d)) {
        char path[2400];

        (void)ot_path_join(path, sizeof path, dir, e->d_name);
        if (e->d_name[0] == '.')
            continue;
        if (ot_is_dir(path)) {
            rc = depth ? walk(r, path, depth - 1, err) : 0;
        } else if (is_prototxt(e->d_name)) {
            rc = ot_grow(&r->file, &r->file_cap, r->nfile + 1, sizeof *r->file, err);
            if (rc >= 0) {
                r->file[r->nfile] = ot_strdup(path, err);
                rc = r->file[r->nfile] ? 0 : err->code;
                r->nfile += rc == 0;
            }
        }
    }
    if (d)
        (void)closedir(d);
    return rc;
}

/* A net or a solver, whichever its fields fit; where neither does, the one that got further. */
static void run_file(struct nets_run *r, const char *file)
{
    struct ot_err net_err = OT_ERR_INIT, solver_err = OT_ERR_INIT;
    struct ot_doc *doc = ot_text_parse_file(&caffe__net_parameter__descriptor, file, &net_err);

    if (doc) {
        nets_run_net(r, file, doc);
    } else {
        doc = ot_text_parse_file(&caffe__solver_parameter__descriptor, file, &solver_err);
        if (doc)
            nets_run_solver(r, file, doc);
        else
            nets_fail(r, file, "", solver_err.loc.line > net_err.loc.line ? &solver_err : &net_err);
    }
    ot_doc_free(doc);
}

/* ---- the command line ------------------------------------------------------------------------ */

static int arguments(struct nets_run *r, int argc, char **argv, const char **json)
{
    for (int i = 1; i < argc; i++) {
        bool more = i + 1 < argc;

        if (!strcmp(argv[i], "--batch") && more)
            r->batch = atoi(argv[++i]);
        else if (!strcmp(argv[i], "--json") && more)
            *json = argv[++i];
        else if (!strcmp(argv[i], "-v"))
            r->verbose = true;
        else if (argv[i][0] != '-')
            r->dir = argv[i];
        else
            return -1;
    }
    return r->batch >= 1 ? 0 : -1;
}

static int run_all(struct nets_run *r, struct ot_err *err)
{
    r->dev = ot_dev_open("cpu", 0, err);
    if (!r->dev || walk(r, r->dir, 16, err) < 0)
        return err->code;
    if (!r->nfile)
        return ot_fail(err, OT_ENOINPUT, "no *.prototxt under '%s'", r->dir);
    qsort(r->file, r->nfile, sizeof *r->file, by_name);
    for (size_t i = 0; i < r->nfile; i++)
        run_file(r, r->file[i]);
    return 0;
}

static int write_json(const struct nets_run *r, const char *path, struct ot_err *err)
{
    struct ot_str s = { 0 };
    int rc;

    ot_str_printf(&s, "[\n%s\n]\n", r->json.buf ? r->json.buf : "");
    rc = ot_str_ok(&s, err);
    if (rc == 0)
        rc = ot_write_file_atomic(path, s.buf, s.len, err);
    ot_str_release(&s);
    return rc;
}

static void close_all(struct nets_run *r)
{
    for (size_t i = 0; i < r->nfile; i++)
        ot_free(r->file[i]);
    ot_free(r->file);
    ot_str_release(&r->json);
    ot_dev_close(r->dev);
    (void)ot_remove_dir(r->tmp, 3);
}

int main(int argc, char **argv)
{
    struct nets_run r = { .dir = "../shared/compat", .batch = 2 };
    struct ot_err err = OT_ERR_INIT;
    const char *json = NULL;
    char text[1200];
    int rc;

    if (arguments(&r, argc, argv, &json) < 0) {
        (void)fprintf(stderr, "usage: run_nets [DIR] [--batch N] [-v] [--json FILE]\n");
        return 64;
    }
    (void)snprintf(r.tmp, sizeof r.tmp, "/tmp/ohemtrain-nets-XXXXXX");
    if (!mkdtemp(r.tmp))
        return 73;
    (void)setvbuf(stdout, NULL, _IOLBF, 0);
    ot_log_set_level(r.verbose ? OT_LOG_INFO : OT_LOG_ERROR);
    rc = run_all(&r, &err);
    if (rc == 0 && json)
        rc = write_json(&r, json, &err);
    if (rc < 0)
        (void)fprintf(stderr, "run_nets: %s\n", ot_err_str(&err, text, sizeof text));
    else
        ot_out("%d passed, %d failed, %d skipped\n", r.passed, r.failed, r.skipped);
    close_all(&r);
    return rc < 0 ? ot_exit_code(err.code) : r.failed > 0;
}
