/* snapshot.c - see snapshot.h. */
#include "trainer/snapshot.h"

#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/arena.h"
#include "base/fs.h"
#include "base/hash.h"
#include "base/log.h"
#include "base/mem.h"
#include "data/hdf5.h"
#include "proto/wire.h"
#include "trainer/snapshot_i.h"

enum { STATE, OURS, MODEL, FILES };

static const char *const suffix[2][FILES] = { /* [in HDF5][file] */
                                              { ".solverstate", ".otstate", ".caffemodel" },
                                              { ".solverstate.h5", ".otstate", ".caffemodel.h5" }
};

static int in_h5(const struct ot_solver *s)
{
    return s->param->snapshot_format == CAFFE__SOLVER_PARAMETER__SNAPSHOT_FORMAT__HDF5;
}

/* ---- .otstate -------------------------------------------------------------------------------- */

struct state_head { /* in the machine's byte order */
    char magic[8];
    int64_t iter;
    uint64_t position; /* of the data stream */
    int64_t run;       /* in the pool file; 0: none */
    uint64_t mining;   /* bytes that follow; 0: no mining */
    uint64_t hash;     /* of those bytes */
};

static const char state_magic[8] = { 'O', 'T', 'S', 'T', 'A', 'T', 'E', '2' };

static int write_ours(const struct ot_solver *s, const struct ot_feeds *feeds, struct ot_mine *mine,
                      const char *path, struct ot_err *err)
{
    struct state_head h = { .iter = s->iter, .position = ot_feeds_position(feeds) };
    struct ot_str out = { 0 }, body = { 0 };
    int rc = mine ? ot_mine_save(mine, &body, err) : 0;

    if (mine && ot_mine_pool(mine))
        h.run = ot_pool_run_id(ot_mine_pool(mine));
    memcpy(h.magic, state_magic, sizeof h.magic);
    h.mining = body.len;
    h.hash = ot_hash64(body.buf ? body.buf : "", body.len);
    ot_str_add(&out, (const char *)&h, sizeof h);
    ot_str_add(&out, body.buf ? body.buf : "", body.len);
    if (rc == 0)
        rc = ot_str_ok(&out, err);
    if (rc == 0)
        rc = ot_write_file_atomic(path, out.buf, out.len, err);
    ot_str_release(&body);
    ot_str_release(&out);
    return rc;
}

/* The whole file, checked; owned, NULL on failure. */
static char *read_whole(const char *path, struct state_head *h, struct ot_err *err)
{
    size_t n = 0;
    char *bytes = ot_read_file(path, (size_t)1 << 32, &n, err);

    if (!bytes)
        return NULL;
    if (n >= sizeof *h) {
        memcpy(h, bytes, sizeof *h);
        if (memcmp(h->magic, state_magic, sizeof h->magic) == 0 && h->mining == n - sizeof *h &&
            ot_hash64(bytes + sizeof *h, n - sizeof *h) == h->hash)
            return bytes;
    }
    (void)ot_fail(err, OT_EDATA, "%s: damaged or of another version (%zu bytes)", path, n);
    ot_free(bytes);
    return NULL;
}

static int read_ours(struct ot_solver *s, struct ot_feeds *feeds, struct ot_mine *mine,
                     const char *path, struct ot_err *err)
{
    struct state_head h;
    char *bytes;
    int rc;

    if (!ot_exists(path)) {
        ot_log(OT_LOG_WARN, "snapshot", "%s is not there: data and mining begin anew", path);
        return 0;
    }
    bytes = read_whole(path, &h, err);
    if (!bytes)
        return err->code;
    if (h.iter != s->iter)
        rc = ot_fail(err, OT_EDATA, "%s: of iteration %lld, the .solverstate of %lld", path,
                     (long long)h.iter, (long long)s->iter);
    else
        rc = ot_feeds_seek(feeds, h.position, err);
    if (rc == 0 && mine && h.mining)
        rc = ot_mine_restore(mine, bytes + sizeof h, (size_t)h.mining,
                             s->iter * s->param->iter_size - 1, err);
    ot_free(bytes);
    return rc;
}

/* ---- .solverstate ---------------------------------------------------------------------------- */

/* `part` of a parameter's histories; a frozen one has none and is written as zeros. */
static int history_blob(struct ot_solver *s, const struct ot_param *p, int part, struct ot_arena *a,
                        Caffe__BlobProto *b, struct ot_err *err)
{
    size_t n = ot_count(&p->data.shape), nd = (size_t)p->data.shape.nd;

    caffe__blob_proto__init(b);
    b->shape = ot_arena_alloc(a, 1, sizeof *b->shape, err);
    b->data = ot_arena_alloc(a, n, sizeof *b->data, err);
    if (!b->shape || !b->data)
        return err->code;
    caffe__blob_shape__init(b->shape);
    b->shape->dim = ot_arena_alloc(a, nd + 1, sizeof *b->shape->dim, err);
    if (!b->shape->dim)
        return err->code;
    b->shape->n_dim = nd;
    for (size_t i = 0; i < nd; i++)
        b->shape->dim[i] = p->data.shape.dim[i];
    b->n_data = n;
    return p->hist[part]
               ? ot_param_get(s->net, p, (enum ot_param_part)(OT_PARAM_HIST0 + part), b->data, err)
               : 0;
}

static int write_solver(struct ot_solver *s, const char *model, const char *path,
                        struct ot_err *err)
{
    Caffe__SolverState st = CAFFE__SOLVER_STATE__INIT;
    struct ot_arena a = { 0 };
    int rc = 0;

    st.has_iter = st.has_current_step = 1;
    st.iter = (int32_t)s->iter;
    st.current_step = s->current_step;
    st.learned_net = ot_arena_strdup(&a, model, err);
    /* the first histories of all parameters, then the second ones */
    st.n_history = s->net->nlearn * (size_t)ot_solver_histories(s);
    st.history = ot_arena_alloc(&a, st.n_history + 1, sizeof *st.history, err);
    if (!st.learned_net || !st.history)
        rc = err->code;
    for (size_t k = 0; rc == 0 && k < st.n_history; k++) {
        st.history[k] = ot_arena_alloc(&a, 1, sizeof *st.history[k], err);
        rc = st.history[k] ? history_blob(s, s->net->learn[k % s->net->nlearn],
                                          (int)(k / s->net->nlearn), &a, st.history[k], err)
                           : err->code;
    }
    if (rc == 0)
        rc = ot_h5_named(path) ? ot_h5_save_state(path, &st, err)
                               : ot_wire_write_message(path, &st.base, err);
    ot_arena_release(&a);
    return rc;
}

static int check_space(const struct ot_solver *s, const char *prefix, struct ot_err *err)
{
    char dir[1024];
    int64_t have = ot_free_bytes(ot_path_dir(dir, sizeof dir, prefix));
    int64_t want = (int64_t)s->net->param_bytes * 3 + (1 << 20);

    if (have >= 0 && have < want)
        return ot_fail(err, OT_EIO, "a snapshot needs about %.1f MB in '%s', only %.1f MB are free",
                       (double)want / 1e6, dir, (double)have / 1e6);
    return 0;
}

int ot_snapshot_check(const struct ot_solver *s, struct ot_err *err)
{
    if (!in_h5(s))
        return 0;
    if (ot_h5_available(err) < 0)
        return ot_err_at(err, ot_doc_loc(s->config->doc, s->param, "snapshot_format"));
    return ot_h5_check_names(s->net, err);
}

char *ot_snapshot_model(const struct ot_solver *s, const char *prefix, char *path, size_t n)
{
    (void)snprintf(path, n, "%s_iter_%lld%s", prefix, (long long)s->iter, suffix[in_h5(s)][MODEL]);
    return path;
}

int ot_snapshot_write(struct ot_solver *s, const struct ot_feeds *feeds, struct ot_mine *mine,
                      const char *prefix, char *path, size_t n, struct ot_err *err)
{
    char name[FILES][1200];

    for (size_t i = 0; i < FILES; i++)
        (void)snprintf(name[i], sizeof name[i], "%s_iter_%lld%s", prefix, (long long)s->iter,
                       suffix[in_h5(s)][i]);
    if (check_space(s, prefix, err) < 0 ||
        ot_weights_save(s->net, name[MODEL], s->param->snapshot_diff, err) < 0 ||
        write_ours(s, feeds, mine, name[OURS], err) < 0 ||
        write_solver(s, name[MODEL], name[STATE], err) < 0)
        return ot_err_wrap(err, "snapshot at iteration %lld", (long long)s->iter);
    (void)snprintf(path, n, "%s", name[STATE]);
    return 0;
}

/* The weights are those beside the state (both may have been moved, and another run may have put
 * files where they were), or else where learned_net says. */
static int load_learned(struct ot_solver *s, const char *learned, const char *path,
                        struct ot_err *err)
{
    char dir[1024], beside[2048];
    const char *slash = strrchr(learned, '/');

    (void)ot_path_join(beside, sizeof beside, ot_path_dir(dir, sizeof dir, path),
                       slash ? slash + 1 : learned);
    return ot_weights_load_one(s->net, ot_exists(beside) ? beside : learned, err);
}

static int restore_history(struct ot_solver *s, const Caffe__SolverState *st, struct ot_err *err)
{
    struct ot_net *net = s->net;

    const size_t each = (size_t)ot_solver_histories(s);

    if (st->n_history != each * net->nlearn)
        return ot_fail(err, OT_ESHAPE,
                       "%zu history blobs, but %s has %zu for each of the net's %zu learnable "
                       "parameters",
                       st->n_history, s->param->type, each, net->nlearn);
    for (size_t k = 0; k < each * net->nlearn; k++) {
        struct ot_param *p = net->learn[k % net->nlearn];
        const size_t part = k / net->nlearn;

        if (st->history[k]->n_data != ot_count(&p->data.shape))
            return ot_fail(err, OT_ESHAPE, "history %zu (layer '%s') has %zu values, wanted %zu", k,
                           p->layer, st->history[k]->n_data, ot_count(&p->data.shape));
        if (p->hist[part] && ot_param_set(net, p, (enum ot_param_part)(OT_PARAM_HIST0 + (int)part),
                                          st->history[k]->data, err) < 0)
            return err->code;
    }
    return 0;
}

struct state { /* a .solverstate, read */
    Caffe__SolverState *st;
    struct ot_arena arena; /* of one in HDF5; else st is owned */
    char ours[1200];       /* the .otstate beside it */
};

static void free_state(struct state *state, bool h5)
{
    if (!h5 && state->st)
        ot_wire_free_message(&state->st->base);
    ot_arena_release(&state->arena);
}

/* s: NULL when only the counters are wanted. */
static int parse_state(const char *path, const struct ot_solver *s, struct state *state,
                       struct ot_err *err)
{
    if (!ot_h5_named(path)) {
        state->st = (Caffe__SolverState *)(void *)ot_wire_read_message(
            &caffe__solver_state__descriptor, path, OT_WIRE_BYTES, err);
        return state->st ? 0 : err->code;
    }
    state->st = ot_arena_alloc(&state->arena, 1, sizeof *state->st, err);
    return state->st ? ot_h5_load_state(path, s, state->st, &state->arena, err) : err->code;
}

/* On failure there is nothing to free. */
static int read_state(const char *path, const struct ot_solver *s, struct state *state,
                      struct ot_err *err)
{
    const bool h5 = ot_h5_named(path);
    const char *end = suffix[h5][STATE];
    size_t len = strlen(path), tail = strlen(end);
    int rc;

    *state = (struct state){ 0 };
    if (len < tail || strcmp(path + len - tail, end) != 0)
        return ot_fail(err, OT_EUSAGE,
                       "'%s': must be a .solverstate or a .solverstate.h5 (to start from a "
                       ".caffemodel use --weights)",
                       path);
    (void)snprintf(state->ours, sizeof state->ours, "%.*s%s", (int)(len - tail), path,
                   suffix[h5][OURS]);
    rc = parse_state(path, s, state, err);
    if (rc == 0 && (state->st->iter < 0 || state->st->current_step < 0))
        rc = ot_fail(err, OT_EDATA, "%s: iter and current_step must be >= 0, got %d and %d", path,
                     (int)state->st->iter, (int)state->st->current_step);
    if (rc < 0)
        free_state(state, h5);
    return rc;
}

int ot_snapshot_peek(const char *path, struct ot_snapshot_info *info, struct ot_err *err)
{
    struct state_head h;
    struct state state;
    char *bytes;

    if (read_state(path, NULL, &state, err) < 0)
        return err->code;
    *info = (struct ot_snapshot_info){ .iter = state.st->iter };
    free_state(&state, ot_h5_named(path));
    if (!ot_exists(state.ours))
        return 0;
    bytes = read_whole(state.ours, &h, err);
    if (!bytes)
        return err->code;
    ot_free(bytes);
    info->run = h.run;
    return 0;
}

int ot_snapshot_restore(struct ot_solver *s, struct ot_feeds *feeds, struct ot_mine *mine,
                        const char *path, struct ot_err *err)
{
    struct state state;
    int rc;

    if (read_state(path, s, &state, err) < 0)
        return err->code;
    rc = state.st->learned_net ? load_learned(s, state.st->learned_net, path, err)
                               : ot_fail(err, OT_EDATA, "%s: names no weights", path);
    if (rc == 0 && restore_history(s, state.st, err) < 0)
        rc = ot_err_wrap(err, "%s", path);
    if (rc == 0) {
        s->iter = state.st->iter;
        s->current_step = state.st->current_step;
    }
    free_state(&state, ot_h5_named(path));
    if (rc < 0)
        return rc;
    return read_ours(s, feeds, mine, state.ours, err);
}

/* ---- which snapshots there are --------------------------------------------------------------- */

/* Iterations of complete snapshots of `prefix`, each once, ascending; how many (<= max). */
static int list(const char *prefix, long long *iter, int max)
{
    char dir[1024], stem[1024];
    const char *slash = strrchr(prefix, '/');
    struct dirent *e;
    DIR *d = opendir(ot_path_dir(dir, sizeof dir, prefix));
    int n = 0, unique = 0;

    (void)snprintf(stem, sizeof stem, "%s_iter_", slash ? slash + 1 : prefix);
    while (d && n < max && (e = readdir(d))) {
        char *end;

        if (strncmp(e->d_name, stem, strlen(stem)) != 0)
            continue;
        iter[n] = strtoll(e->d_name + strlen(stem), &end, 10);
        if (end != e->d_name + strlen(stem) &&
            (!strcmp(end, suffix[0][STATE]) || !strcmp(end, suffix[1][STATE])))
            n++;
    }
    if (d)
        (void)closedir(d);
    for (int i = 1; i < n; i++)
        for (int j = i; j > 0 && iter[j] < iter[j - 1]; j--) {
            long long t = iter[j];

            iter[j] = iter[j - 1];
            iter[j - 1] = t;
        }
    for (int i = 0; i < n; i++) /* one in both formats */
        if (!unique || iter[i] != iter[unique - 1])
            iter[unique++] = iter[i];
    return unique;
}

enum { MAX_LIST = 4096 };

int ot_snapshot_newest(const char *prefix, char *path, size_t n)
{
    long long iter[MAX_LIST];
    int k = list(prefix, iter, MAX_LIST);

    for (int h5 = 0; k && h5 < 2; h5++) {
        (void)snprintf(path, n, "%s_iter_%lld%s", prefix, iter[k - 1], suffix[h5][STATE]);
        if (ot_exists(path))
            break;
    }
    return k > 0;
}

void ot_snapshot_prune(const char *prefix, int keep)
{
    long long iter[MAX_LIST];
    int k = list(prefix, iter, MAX_LIST);

    for (int i = 0; keep > 0 && i < k - keep; i++)
        for (size_t j = 0; j < 2 * FILES; j++) {
            char path[1200];

            (void)snprintf(path, sizeof path, "%s_iter_%lld%s", prefix, iter[i],
                           suffix[j / FILES][j % FILES]);
            (void)unlink(path);
        }
}

void ot_snapshot_move(const char *prefix, const char *to)
{
    long long iter[MAX_LIST];
    const char *slash = strrchr(prefix, '/'), *stem = slash ? slash + 1 : prefix;
    int k = list(prefix, iter, MAX_LIST);

    for (int i = 0; i < k; i++)
        for (size_t j = 0; j < 2 * FILES; j++) {
            const char *end = suffix[j / FILES][j % FILES];
            char from[1200], dest[2400];

            (void)snprintf(from, sizeof from, "%s_iter_%lld%s", prefix, iter[i], end);
            (void)snprintf(dest, sizeof dest, "%s/%s_iter_%lld%s", to, stem, iter[i], end);
            if (rename(from, dest) < 0 && errno != ENOENT)
                ot_log(OT_LOG_WARN, "snapshot", "cannot move '%s': %s", from, strerror(errno));
        }
}
