/*
 * test_cudnn.c - what cuda/conv_graph.c tells cuDNN, against the real library, without a GPU: since
 * 9.8 cuDNN makes plans for a GPU that is only described.  Nothing runs.
 *
 * The library is loaded when the test runs, and its functions are stood in for here.
 */
#include <dlfcn.h>

#include "tests/check.h"
#include "tests/some_tests.h"

#if __has_include(<cudnn.h>)
#    include "cuda/conv_graph.h"
#endif

#if defined(CUDNN_VERSION) && CUDNN_VERSION >= 90800

/* ---- the library --------------------------------------------------------------------------- */

/* What the library keeps for itself is not looked for; descriptors are counted below. */
void __lsan_disable(void) __attribute__((weak));
void __lsan_enable(void) __attribute__((weak));

static void enter(void)
{
    if (__lsan_disable)
        __lsan_disable();
}

static void leave(void)
{
    if (__lsan_enable)
        __lsan_enable();
}

#    define REAL(s, call) (enter(), (s) = (call), leave())

static struct {
    cudnnStatus_t (*create)(cudnnBackendDescriptorType_t, cudnnBackendDescriptor_t *);
    cudnnStatus_t (*destroy)(cudnnBackendDescriptor_t);
    cudnnStatus_t (*finalize)(cudnnBackendDescriptor_t);
    cudnnStatus_t (*set)(cudnnBackendDescriptor_t, cudnnBackendAttributeName_t,
                         cudnnBackendAttributeType_t, int64_t, const void *);
    cudnnStatus_t (*get)(cudnnBackendDescriptor_t, cudnnBackendAttributeName_t,
                         cudnnBackendAttributeType_t, int64_t, int64_t *, void *);
    void (*why)(char *, size_t);
} real;

static long alive;        /* descriptors */
static unsigned packs;    /* variant packs that were finalized and came to be executed */
static char refusal[512]; /* of the graph, not of plans */

cudnnStatus_t cudnnBackendCreateDescriptor(cudnnBackendDescriptorType_t type,
                                           cudnnBackendDescriptor_t *d)
{
    cudnnStatus_t s;

    REAL(s, real.create(type, d));
    alive += s == CUDNN_STATUS_SUCCESS;
    return s;
}

cudnnStatus_t cudnnBackendDestroyDescriptor(cudnnBackendDescriptor_t d)
{
    alive--;
    return real.destroy(d);
}

cudnnStatus_t cudnnBackendFinalize(cudnnBackendDescriptor_t d)
{
    cudnnStatus_t s;

    REAL(s, real.finalize(d));
    if (s != CUDNN_STATUS_SUCCESS)
        real.why(refusal, sizeof refusal);
    return s;
}

cudnnStatus_t cudnnBackendSetAttribute(cudnnBackendDescriptor_t d, cudnnBackendAttributeName_t name,
                                       cudnnBackendAttributeType_t type, int64_t n, const void *v)
{
    cudnnStatus_t s;

    REAL(s, real.set(d, name, type, n, v));
    if (s != CUDNN_STATUS_SUCCESS)
        real.why(refusal, sizeof refusal);
    return s;
}

cudnnStatus_t cudnnBackendGetAttribute(cudnnBackendDescriptor_t const d,
                                       cudnnBackendAttributeName_t name,
                                       cudnnBackendAttributeType_t type, int64_t n, int64_t *got,
                                       void *v)
{
    cudnnStatus_t s;

    REAL(s, real.get(d, name, type, n, got, v));
    return s;
}

cudnnStatus_t cudnnBackendExecute(cudnnHandle_t handle, cudnnBackendDescriptor_t plan,
                                  cudnnBackendDescriptor_t pack)
{
    (void)handle;
    packs += plan && pack;
    return CUDNN_STATUS_SUCCESS;
}

static int load(void **state)
{
    void *library;

    (void)state;
    REAL(library, dlopen("libcudnn.so.9", RTLD_NOW | RTLD_LOCAL));
    if (!library)
        return 0;
    *(void **)&real.create = dlsym(library, "cudnnBackendCreateDescriptor");
    *(void **)&real.destroy = dlsym(library, "cudnnBackendDestroyDescriptor");
    *(void **)&real.finalize = dlsym(library, "cudnnBackendFinalize");
    *(void **)&real.set = dlsym(library, "cudnnBackendSetAttribute");
    *(void **)&real.get = dlsym(library, "cudnnBackendGetAttribute");
    *(void **)&real.why = dlsym(library, "cudnnGetLastErrorString"); /* the newest of them */
    return 0;
}

/* An H200 as cuDNN writes one down. */
static const char h200[] =
    "{\"maxGridSize\":[2147483647,65535,65535],\"maxBlockSize\":[1024,1024,64],"
    "\"regsPerBlock\":65536,\"multiProcessorCount\":132,\"warpSize\":32,"
    "\"maxSharedMemoryPerBlock\":49152,\"maxSharedMemoryPerBlockOptin\":232448,"
    "\"reservedSharedMemoryPerBlock\":1024,\"maxRegistersPerSM\":65536,\"maxCtasPerSM\":32,"
    "\"maxThreadsPerBlock\":1024,\"maxThreadsPerSM\":2048,\"pciDeviceId\":0,\"isTccDriver\":0,"
    "\"supportCoopLaunch\":1,\"totalGlobalMem\":150000000000,\"smClockRateKHz\":1980000,"
    "\"memClockRateKHz\":3201000,\"l2CacheSize\":62914560,\"cudaDeviceId\":0,\"deviceVer\":900,"
    "\"driverVer\":13000,\"deviceName\":\"NVIDIA H200\"}";

static struct ot_conv_target open_target(void)
{
    struct ot_conv_target t = { 0 };

    if (!real.why)
        skip_because("no libcudnn.so.9");
    if (cudnnBackendCreateDescriptor(CUDNN_BACKEND_DEVICEPROP_DESCRIPTOR, &t.device) ||
        cudnnBackendSetAttribute(t.device, CUDNN_ATTR_DEVICEPROP_JSON_REPRESENTATION,
                                 CUDNN_TYPE_CHAR, sizeof h200, h200) ||
        cudnnBackendFinalize(t.device))
        skip_because("cuDNN takes no description of a GPU: %s", refusal);
    return t;
}

static void close_target(const struct ot_conv_target *t)
{
    (void)cudnnBackendDestroyDescriptor(t->device);
    assert_int_equal(alive, 0);
}

/* ---- the tests ----------------------------------------------------------------------------- */

static const struct ot_conv_geom shapes[] = {
    /* of ResNet-50 */
    { .n = 256,
      .c = 3,
      .h = 224,
      .w = 224,
      .oc = 64,
      .kh = 7,
      .kw = 7,
      .sh = 2,
      .sw = 2,
      .ph = 3,
      .pw = 3 },
    { .n = 256, .c = 64, .h = 56, .w = 56, .oc = 64, .kh = 3, .kw = 3, .ph = 1, .pw = 1 },
    { .n = 256, .c = 256, .h = 56, .w = 56, .oc = 512, .kh = 1, .kw = 1, .sh = 2, .sw = 2 },
    { .n = 256, .c = 512, .h = 7, .w = 7, .oc = 2048, .kh = 1, .kw = 1 },
    /* of ResNeXt-50, CaffeNet, a dilated one, LeNet's, and an odd one */
    { .n = 128,
      .c = 128,
      .h = 56,
      .w = 56,
      .oc = 128,
      .group = 32,
      .kh = 3,
      .kw = 3,
      .ph = 1,
      .pw = 1 },
    { .n = 256,
      .c = 96,
      .h = 27,
      .w = 27,
      .oc = 256,
      .group = 2,
      .kh = 5,
      .kw = 5,
      .ph = 2,
      .pw = 2 },
    { .n = 16,
      .c = 64,
      .h = 28,
      .w = 30,
      .oc = 64,
      .kh = 3,
      .kw = 3,
      .ph = 2,
      .pw = 2,
      .dh = 2,
      .dw = 2 },
    { .n = 64, .c = 1, .h = 28, .w = 28, .oc = 20, .kh = 5, .kw = 5 },
    { .n = 2, .c = 5, .h = 9, .w = 7, .oc = 6, .kh = 3, .kw = 2, .sh = 2, .sw = 1, .ph = 1 },
};

enum { SHAPES = sizeof shapes / sizeof shapes[0] };

static struct ot_conv_desc described(int k, enum ot_type type)
{
    struct ot_conv_desc d = { .g = shapes[k], .last = true, .type = type, .bias = true };
    struct ot_conv_geom *g = &d.g;

    g->group += !g->group;
    g->sh += !g->sh;
    g->sw += !g->sw;
    g->dh += !g->dh;
    g->dw += !g->dw;
    g->oh = (g->h + 2 * g->ph - g->dh * (g->kh - 1) - 1) / g->sh + 1;
    g->ow = (g->w + 2 * g->pw - g->dw * (g->kw - 1) - 1) / g->sw + 1;
    return d;
}

static struct ot_conv_graph *opened(const struct ot_conv_desc *d, enum ot_conv_way way, bool fused,
                                    const struct ot_conv_target *t, size_t room)
{
    struct ot_conv_graph *g;

    refusal[0] = 0;
    g = ot_conv_graph_open(d, way, fused, t, room);
    if (!g)
        fail_msg("%d x %d x %d x %d, way %d, type %d, %s: no plan: %s", d->g.n, d->g.c, d->g.h,
                 d->g.w, (int)way, (int)d->type, fused ? "fused" : "alone", refusal);
    return g;
}

static void cudnn_plans_every_way_of_each_convolution(void **state)
{
    const struct ot_conv_target t = open_target();

    (void)state;
    for (int k = 0; k < SHAPES; k++)
        for (int i = 0; i < 2 * OT_CONV_WAYS; i++) {
            const struct ot_conv_desc d = described(k, i % 2 ? OT_BF16 : OT_F32);
            struct ot_conv_graph *g = opened(&d, (enum ot_conv_way)(i / 2), false, &t,
                                             (size_t)1 << 31);

            assert_int_equal(g->status, CUDNN_STATUS_SUCCESS);
            assert_true(g->plans > 0);
            ot_conv_graph_close(g);
        }
    close_target(&t);
}

static void cudnn_plans_convolutions_with_bias_and_relu(void **state)
{
    const struct ot_conv_target t = open_target();

    (void)state;
    for (int k = 0; k < SHAPES; k++)
        for (int i = 0; i < 4; i++) {
            struct ot_conv_desc d = described(k, i % 2 ? OT_BF16 : OT_F32);

            d.relu = i / 2;
            ot_conv_graph_close(opened(&d, OT_CONV_FORWARD, true, &t, (size_t)1 << 31));
        }
    close_target(&t);
}

static void plans_stay_within_the_workspace(void **state)
{
    const struct ot_conv_target t = open_target();
    const struct ot_conv_desc d = described(0, OT_BF16);
    static const size_t rooms[] = { (size_t)1 << 31, (size_t)300 << 20, (size_t)1 << 20 };

    (void)state;
    for (int i = 0; i < 3; i++) {
        struct ot_conv_graph *g = opened(&d, OT_CONV_FORWARD, false, &t, rooms[i]);
        size_t most = 0;

        for (int k = 0; k < g->plans; k++)
            most = g->plan[k].bytes > most ? g->plan[k].bytes : most;
        assert_true(most <= rooms[i]);
        if (i == 0)
            assert_true(most > rooms[1]); /* or the others show nothing */
        ot_conv_graph_close(g);
    }
    close_target(&t);
}

static void a_plan_that_is_kept_takes_arrays(void **state)
{
    const struct ot_conv_target t = open_target();
    const struct ot_conv_desc d = described(1, OT_BF16);
    char *const at = (char *)(uintptr_t)0x10000; /* nothing looks there */

    (void)state;
    for (int fused = 0; fused < 2; fused++) {
        struct ot_conv_graph *g = opened(&d, OT_CONV_FORWARD, fused, &t, (size_t)1 << 30);
        struct ot_conv_arrays a = { at, at + 0x1000, at + 0x2000, at + 0x3000, at + 0x4000 };
        const size_t bytes = g->plan[1].bytes;

        ot_conv_graph_keep(g, 1);
        assert_int_equal(g->plans, 1);
        assert_int_equal(g->plan[0].bytes, bytes);
        packs = 0;
        assert_int_equal(ot_conv_graph_run(NULL, g, 0, &a), CUDNN_STATUS_SUCCESS);
        a.room = NULL;
        assert_int_equal(ot_conv_graph_run(NULL, g, 0, &a), CUDNN_STATUS_SUCCESS);
        assert_int_equal(packs, 2);
        a.w = at + 8;
        assert_int_equal(ot_conv_graph_run(NULL, g, 0, &a), CUDNN_STATUS_BAD_PARAM);
        assert_int_equal(packs, 2);
        ot_conv_graph_close(g);
    }
    close_target(&t);
}

static void what_is_no_convolution_has_no_plan(void **state)
{
    const struct ot_conv_target t = open_target();
    struct ot_conv_desc d = described(1, OT_BF16);

    (void)state;
    d.g.oh++;
    assert_null(ot_conv_graph_open(&d, OT_CONV_FORWARD, false, &t, (size_t)1 << 30));
    close_target(&t);
}

#else

static int load(void **state)
{
    (void)state;
    return 0;
}

static void skipped(void **state)
{
    (void)state;
    skip_because("no headers of cuDNN 9.8 or later when the tests were built");
}

#    define cudnn_plans_every_way_of_each_convolution   skipped
#    define cudnn_plans_convolutions_with_bias_and_relu skipped
#    define plans_stay_within_the_workspace             skipped
#    define a_plan_that_is_kept_takes_arrays            skipped
#    define what_is_no_convolution_has_no_plan          skipped

#endif

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(cudnn_plans_every_way_of_each_convolution),
        cmocka_unit_test(cudnn_plans_convolutions_with_bias_and_relu),
        cmocka_unit_test(plans_stay_within_the_workspace),
        cmocka_unit_test(a_plan_that_is_kept_takes_arrays),
        cmocka_unit_test(what_is_no_convolution_has_no_plan),
    };

    return OT_SOME_TESTS(argc, argv, tests, load, NULL);
}
