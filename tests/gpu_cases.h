/*
 * gpu_cases.h - the cases that drive the comparison of CUDA with the CPU (test_cuda.c): one file
 * gpu_cases_<name>.c for each name of gpu_cases.def.
 */
#ifndef OT_TESTS_GPU_CASES_H
#define OT_TESTS_GPU_CASES_H

#include "tests/mininet.h"

enum { OT_RAW = 40000, OT_RAW_OUT = 4 * OT_RAW };

/* Arrays of a case that calls a kernel by itself. */
struct ot_cuda_raw {
    float *x, *y, *z;      /* OT_RAW device floats each, random in [-1, 1) */
    double *sum;           /* device, 0.25 */
    float out[OT_RAW_OUT]; /* host: what is compared */
    size_t n_out;
};

struct ot_cuda_case {
    const char *name;
    const char *text; /* a layer; or `raw` */
    int n_in;
    struct ot_shape in[4];
    void (*give)(struct ot_mini *m); /* beyond random inputs */
    void (*raw)(struct ot_dev *dev, struct ot_cuda_raw *r);
    float lo, hi; /* of random inputs; both 0: -1, 1 */
    int levels;   /* > 0: multiples of 1 / levels, for ties */
    int grads;    /* inputs with a gradient, the first ones; 0: one */
    bool library; /* cuDNN or cuBLAS: needs a device */
    bool no_backward;
    bool fused_relu;
    double tol;  /* of the largest value; 0: 2e-6 */
    double bf16; /* the same of what is stored in bf16; 0: 1 / 256, an ulp */
    /* Set by test_cuda, which runs each layer with plain inputs, and with inputs that are stored
     * channels last or in bf16, where they can be. */
    bool last;
    enum ot_type type;
};

/* Each ends with a case without a name. */
#define G(name) extern const struct ot_cuda_case ot_cuda_cases_##name[];
#include "tests/gpu_cases.def"
#undef G

#endif
