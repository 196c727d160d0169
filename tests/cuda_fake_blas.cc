// cuda_fake_blas.cc - the fake cuBLAS: matrix products, columns first, arguments checked as documented.
#include <cublas_v2.h>

#include <algorithm>

#include "tests/cuda_fake_i.hh"
#include "tests/cuda_fake_math.hh"

using namespace fake;

struct cublasContext {
    cudaStream_t stream;
    cublasMath_t math;
    cublasPointerMode_t pointers;
};

#define OT_BLAS(name)                                          \
    call here(#name);                                          \
    if (here.injected)                                         \
        return static_cast<cublasStatus_t>(here.injected);     \
    if (!handle)                                               \
    return CUBLAS_STATUS_NOT_INITIALIZED

namespace
{

struct product {
    bool ta, tb, tf32, parts; // parts: sums made in parts, which are stored as C is
    int m, n, k, lda, ldb, ldc, batch;
    long long sa, sb, sc; // strides of a batch
    float alpha, beta;
    number a_type, b_type, c_type;
    const void *a, *b;
    void *c;
};

size_t extent(int rows, int cols, int ld)
{
    return rows && cols ? static_cast<size_t>(ld) * static_cast<size_t>(cols - 1) +
                              static_cast<size_t>(rows)
                        : 0;
}

// Whether a whole operand is in device memory.
bool there(const void *p, number t, int rows, int cols, int ld, long long stride, int batch)
{
    const size_t n = extent(rows, cols, ld) +
                     static_cast<size_t>(stride) * static_cast<size_t>(batch - 1);

    if (n == 0 || on_device(p, n * size_of(t)))
        return true;
    wrong("a matrix of %d x %d, leading dimension %d, is not all on the device", rows, cols, ld);
    return false;
}

double stored(number t, double v)
{
    float kept = 0.0f;

    set(&kept, t, 0, static_cast<float>(v));
    return static_cast<double>(get(&kept, t, 0));
}

void multiply(const product &p)
{
    const size_t m = static_cast<size_t>(p.m), n = static_cast<size_t>(p.n),
                 k = static_cast<size_t>(p.k);
    const size_t lda = static_cast<size_t>(p.lda), ldb = static_cast<size_t>(p.ldb),
                 ldc = static_cast<size_t>(p.ldc);
    std::vector<float> a(m * k), b(n * k);

    for (int i = 0; i < p.batch; i++) {
        const size_t oa = static_cast<size_t>(p.sa * i), ob = static_cast<size_t>(p.sb * i),
                     oc = static_cast<size_t>(p.sc * i);

        for (size_t r = 0; r < m; r++)
            for (size_t j = 0; j < k; j++)
                a[r * k + j] = get(p.a, p.a_type, oa + (p.ta ? r * lda + j : j * lda + r));
        for (size_t c = 0; c < n; c++)
            for (size_t j = 0; j < k; j++)
                b[c * k + j] = get(p.b, p.b_type, ob + (p.tb ? j * ldb + c : c * ldb + j));
        if (p.tf32) {
            std::transform(a.begin(), a.end(), a.begin(), as_tf32);
            std::transform(b.begin(), b.end(), b.begin(), as_tf32);
        }
        for (size_t c = 0; c < n; c++)
            for (size_t r = 0; r < m; r++) {
                const size_t at = oc + c * ldc + r;
                double sum = 0.0;

                for (size_t j = 0; j < k; j++) {
                    sum += static_cast<double>(a[r * k + j]) * static_cast<double>(b[c * k + j]);
                    if (p.parts && j % 2 == 1)
                        sum = stored(p.c_type, sum);
                }
                sum *= static_cast<double>(p.alpha);
                if (p.beta != 0.0f) // else C may be anything
                    sum += static_cast<double>(p.beta) *
                           static_cast<double>(get(p.c, p.c_type, at));
                set(p.c, p.c_type, at, static_cast<float>(sum));
            }
    }
}

cublasStatus_t put_product(cublasHandle_t handle, cublasOperation_t ta, cublasOperation_t tb,
                           const void *alpha, const void *beta, product p)
{
    if (p.m < 0 || p.n < 0 || p.k < 0 || p.batch < 0 || (ta != CUBLAS_OP_N && ta != CUBLAS_OP_T) ||
        (tb != CUBLAS_OP_N && tb != CUBLAS_OP_T) || !alpha || !beta)
        return CUBLAS_STATUS_INVALID_VALUE;
    p.ta = ta == CUBLAS_OP_T;
    p.tb = tb == CUBLAS_OP_T;
    if (p.lda < std::max(1, p.ta ? p.k : p.m) || p.ldb < std::max(1, p.tb ? p.n : p.k) ||
        p.ldc < std::max(1, p.m))
        return CUBLAS_STATUS_INVALID_VALUE;
    if (broken() != cudaSuccess)
        return CUBLAS_STATUS_EXECUTION_FAILED;
    if (p.m == 0 || p.n == 0 || p.batch == 0)
        return CUBLAS_STATUS_SUCCESS;
    if (handle->pointers != CUBLAS_POINTER_MODE_HOST || in_arena(alpha) || in_arena(beta)) {
        wrong("cuBLAS: alpha and beta are looked for on the host");
        return CUBLAS_STATUS_NOT_SUPPORTED;
    }
    memcpy(&p.alpha, alpha, sizeof p.alpha);
    memcpy(&p.beta, beta, sizeof p.beta);
    if (!there(p.a, p.a_type, p.ta ? p.k : p.m, p.ta ? p.m : p.k, p.lda, p.sa, p.batch) ||
        !there(p.b, p.b_type, p.tb ? p.n : p.k, p.tb ? p.k : p.n, p.ldb, p.sb, p.batch) ||
        !there(p.c, p.c_type, p.m, p.n, p.ldc, p.sc, p.batch))
        return CUBLAS_STATUS_EXECUTION_FAILED;
    loads(handle->stream, "a product of cuBLAS",
          std::string("product") + (p.a_type == number::BF16 ? "bf16" : "fp32") +
              (p.c_type == number::BF16 ? "bf16" : "fp32") + (p.tf32 ? "tf32" : "") +
              (p.ta ? "t" : "n") + (p.tb ? "t" : "n"));
    return put(handle->stream, "product", [p] { multiply(p); }) == cudaSuccess
               ? CUBLAS_STATUS_SUCCESS
               : CUBLAS_STATUS_EXECUTION_FAILED;
}

bool type_of(cudaDataType_t from, number *to)
{
    *to = from == CUDA_R_16BF ? number::BF16 : number::F32;
    return from == CUDA_R_16BF || from == CUDA_R_32F;
}

cublasStatus_t put_typed(cublasHandle_t handle, cublasOperation_t ta, cublasOperation_t tb,
                         const void *alpha, const void *beta, product p, cudaDataType_t a,
                         cudaDataType_t b, cudaDataType_t c, cublasComputeType_t compute)
{
    const bool plain = compute == CUBLAS_COMPUTE_32F || compute == CUBLAS_COMPUTE_32F_PEDANTIC,
               fast = compute == CUBLAS_COMPUTE_32F_FAST_TF32;

    // of the documented combinations, those with these types
    if (!type_of(a, &p.a_type) || !type_of(b, &p.b_type) || !type_of(c, &p.c_type) || a != b ||
        (a == CUDA_R_32F && c != CUDA_R_32F) || (!plain && !fast) || (fast && a != CUDA_R_32F))
        return CUBLAS_STATUS_NOT_SUPPORTED;
    p.tf32 = a == CUDA_R_32F && (fast || (compute == CUBLAS_COMPUTE_32F &&
                                          handle->math == CUBLAS_TF32_TENSOR_OP_MATH));
    p.parts = c == CUDA_R_16BF &&
              !(handle->math & CUBLAS_MATH_DISALLOW_REDUCED_PRECISION_REDUCTION);
    return put_product(handle, ta, tb, alpha, beta, p);
}

} // namespace

extern "C" {

cublasStatus_t cublasCreate(cublasHandle_t *handle)
{
    call here("cublasCreate");
    if (here.injected)
        return static_cast<cublasStatus_t>(here.injected);
    if (may_wait() != cudaSuccess || broken() != cudaSuccess)
        return CUBLAS_STATUS_NOT_INITIALIZED;
    *handle = new cublasContext();
    (*handle)->pointers = CUBLAS_POINTER_MODE_HOST;
    alive(1);
    return CUBLAS_STATUS_SUCCESS;
}

cublasStatus_t cublasDestroy(cublasHandle_t handle)
{
    call here("cublasDestroy");

    if (!handle)
        return CUBLAS_STATUS_NOT_INITIALIZED;
    wait_all(); // it does synchronise
    delete handle;
    alive(-1);
    return static_cast<cublasStatus_t>(here.injected);
}

cublasStatus_t cublasSetStream(cublasHandle_t handle, cudaStream_t stream)
{
    OT_BLAS(cublasSetStream);
    if (!known(stream))
        return CUBLAS_STATUS_INVALID_VALUE;
    handle->stream = stream;
    return CUBLAS_STATUS_SUCCESS;
}

cublasStatus_t cublasSetMathMode(cublasHandle_t handle, cublasMath_t math)
{
    OT_BLAS(cublasSetMathMode);
    handle->math = math;
    return CUBLAS_STATUS_SUCCESS;
}

cublasStatus_t cublasSetPointerMode(cublasHandle_t handle, cublasPointerMode_t mode)
{
    OT_BLAS(cublasSetPointerMode);
    handle->pointers = mode;
    return CUBLAS_STATUS_SUCCESS;
}

cublasStatus_t cublasSetWorkspace(cublasHandle_t handle, void *p, size_t bytes)
{
    OT_BLAS(cublasSetWorkspace);
    return bytes == 0 || (on_device(p, bytes) && reinterpret_cast<uintptr_t>(p) % 256 == 0)
               ? CUBLAS_STATUS_SUCCESS
               : CUBLAS_STATUS_INVALID_VALUE;
}

cublasStatus_t cublasSetAtomicsMode(cublasHandle_t handle, cublasAtomicsMode_t)
{
    OT_BLAS(cublasSetAtomicsMode);
    return CUBLAS_STATUS_SUCCESS;
}

cublasStatus_t cublasGetVersion(cublasHandle_t handle, int *version)
{
    OT_BLAS(cublasGetVersion);
    *version = CUBLAS_VERSION;
    return CUBLAS_STATUS_SUCCESS;
}

const char *cublasGetStatusString(cublasStatus_t s)
{
    switch (s) {
    case CUBLAS_STATUS_SUCCESS:
        return "CUBLAS_STATUS_SUCCESS";
    case CUBLAS_STATUS_NOT_INITIALIZED:
        return "CUBLAS_STATUS_NOT_INITIALIZED";
    case CUBLAS_STATUS_ALLOC_FAILED:
        return "CUBLAS_STATUS_ALLOC_FAILED";
    case CUBLAS_STATUS_INVALID_VALUE:
        return "CUBLAS_STATUS_INVALID_VALUE";
    case CUBLAS_STATUS_EXECUTION_FAILED:
        return "CUBLAS_STATUS_EXECUTION_FAILED";
    case CUBLAS_STATUS_NOT_SUPPORTED:
        return "CUBLAS_STATUS_NOT_SUPPORTED";
    default:
        return "a status of the fake cuBLAS";
    }
}

cublasStatus_t cublasSgemm(cublasHandle_t handle, cublasOperation_t ta, cublasOperation_t tb, int m,
                           int n, int k, const float *alpha, const float *a, int lda,
                           const float *b, int ldb, const float *beta, float *c, int ldc)
{
    OT_BLAS(cublasSgemm);
    product p = {};

    p.m = m, p.n = n, p.k = k, p.lda = lda, p.ldb = ldb, p.ldc = ldc, p.batch = 1;
    p.a = a, p.b = b, p.c = c;
    return put_typed(handle, ta, tb, alpha, beta, p, CUDA_R_32F, CUDA_R_32F, CUDA_R_32F,
                     handle->math == CUBLAS_PEDANTIC_MATH ? CUBLAS_COMPUTE_32F_PEDANTIC
                                                          : CUBLAS_COMPUTE_32F);
}

cublasStatus_t cublasGemmEx(cublasHandle_t handle, cublasOperation_t ta, cublasOperation_t tb,
                            int m, int n, int k, const void *alpha, const void *a,
                            cudaDataType_t a_type, int lda, const void *b, cudaDataType_t b_type,
                            int ldb, const void *beta, void *c, cudaDataType_t c_type, int ldc,
                            cublasComputeType_t compute, cublasGemmAlgo_t)
{
    OT_BLAS(cublasGemmEx);
    product p = {};

    p.m = m, p.n = n, p.k = k, p.lda = lda, p.ldb = ldb, p.ldc = ldc, p.batch = 1;
    p.a = a, p.b = b, p.c = c;
    return put_typed(handle, ta, tb, alpha, beta, p, a_type, b_type, c_type, compute);
}

cublasStatus_t cublasGemmStridedBatchedEx(cublasHandle_t handle, cublasOperation_t ta,
                                          cublasOperation_t tb, int m, int n, int k,
                                          const void *alpha, const void *a, cudaDataType_t a_type,
                                          int lda, long long sa, const void *b,
                                          cudaDataType_t b_type, int ldb, long long sb,
                                          const void *beta, void *c, cudaDataType_t c_type, int ldc,
                                          long long sc, int batch, cublasComputeType_t compute,
                                          cublasGemmAlgo_t)
{
    OT_BLAS(cublasGemmStridedBatchedEx);
    product p = {};

    p.m = m, p.n = n, p.k = k, p.lda = lda, p.ldb = ldb, p.ldc = ldc, p.batch = batch;
    p.a = a, p.b = b, p.c = c, p.sa = sa, p.sb = sb, p.sc = sc;
    return put_typed(handle, ta, tb, alpha, beta, p, a_type, b_type, c_type, compute);
}

} // extern "C"
