#include "tests/minekit.h"

#include "base/fs.h"
#include "base/mem.h"
#include "tests/check.h"
#include "tests/tinydb.h"
#include "trainer/train.h"

/* fashion.conf on small images, mined from the first iteration. */
struct ot_config *ot_mined_config(const char *dir, const char *source, bool no_mining,
                                  const char *const *more, int nmore)
{
    char run_dir[400], data[400];
    const char *set[40] = { run_dir,
                            data,
                            "net.layer[data].data_param.batch_size=8",
                            "net.layer[ip1].inner_product_param.num_output=20",
                            "test_iter=2",
                            "test_interval=0",
                            "max_iter=40",
                            "snapshot=0",
                            "threads=1" };
    static const char *const mining[] = { "mining.warmup=0",   "mining.window=16",
                                          "mining.cooldown=3", "mining.quantile=0.6",
                                          "mining.scope=POOL", "mining.max_share=0.5" };
    struct ot_err err = OT_ERR_INIT;
    struct ot_config *c;
    int n = 9;

    (void)snprintf(run_dir, sizeof run_dir, "run_dir=\"%s/%s\"", ot_tmpdir(), dir);
    (void)snprintf(data, sizeof data, "net.layer[data].data_param.source=\"%s\"", source);
    for (int i = 0; i < 6; i++)
        set[n++] = mining[i];
    for (int i = 0; i < nmore; i++)
        set[n++] = more[i];
    c = ot_config_load("configs/fashion.conf", set, n, no_mining, &err);
    assert_ok(c ? 0 : err.code, &err);
    return c;
}

int ot_mined_train(const char *dir, const char *source, bool no_mining, const char *const *more,
                   int nmore, const char *resume, struct ot_err *err)
{
    struct ot_config *c = ot_mined_config(dir, source, no_mining, more, nmore);
    struct ot_train_opts opts = { .resume = resume };
    int rc;

    *err = (struct ot_err)OT_ERR_INIT;
    rc = ot_train(c, &opts, err);

    ot_config_free(c);
    return rc;
}

char *ot_mined_slurp(const char *name, size_t *n)
{
    struct ot_err err = OT_ERR_INIT;
    char *p = ot_read_file(ot_tiny_path(name), 1 << 28, n, &err);

    assert_ok(p ? 0 : err.code, &err);
    return p;
}

/* All parameters of a .caffemodel (the file itself has the data's path in it). */
static float *weights(const char *name, size_t *n)
{
    struct ot_err err = OT_ERR_INIT;
    size_t bytes, cap = 0;
    char *file = ot_mined_slurp(name, &bytes);
    Caffe__NetParameter *net = caffe__net_parameter__unpack(NULL, bytes, (uint8_t *)file);
    float *v = NULL;

    assert_non_null(net);
    *n = 0;
    for (size_t i = 0; i < net->n_layer; i++)
        for (size_t b = 0; b < net->layer[i]->n_blobs; b++) {
            const Caffe__BlobProto *p = net->layer[i]->blobs[b];

            assert_ok(ot_grow(&v, &cap, *n + p->n_data, sizeof *v, &err), &err);
            memcpy(v + *n, p->data, p->n_data * sizeof *v);
            *n += p->n_data;
        }
    assert_true(*n > 0);
    caffe__net_parameter__free_unpacked(net, NULL);
    ot_free(file);
    return v;
}

bool ot_mined_same(const char *a, const char *b)
{
    char name[2][100];
    size_t n, m;
    float *x, *y;
    bool same;

    (void)snprintf(name[0], sizeof name[0], "%s/fashion_iter_40.caffemodel", a);
    (void)snprintf(name[1], sizeof name[1], "%s/fashion_iter_40.caffemodel", b);
    x = weights(name[0], &n);
    y = weights(name[1], &m);
    same = n == m && memcmp(x, y, n * sizeof *x) == 0;
    ot_free(x);
    ot_free(y);
    return same;
}

void ot_mined_blob(struct ot_net *net, const char *name, float *to, size_t room)
{
    struct ot_err err = OT_ERR_INIT;
    struct ot_blob *b = ot_net_blob(net, name);

    assert_non_null(b);
    assert_true(ot_count(&b->data.shape) <= room);
    assert_ok(ot_net_read(net, b, to, &err), &err);
}
