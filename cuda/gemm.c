/*
 * gemm.c - the matrix product through cuBLAS, of fp32 or bf16 with sums in fp32.
 *
 * cuBLAS counts columns first: our row-major (m, n) is its (n, m), so C' = op(B)' op(A)' is asked
 * for.  Products of fp32 are those of fp32 unless the device computes in TF32.
 */
#include "cuda/device_i.h"

static cudaDataType_t type_of(enum ot_type type)
{
    return type == OT_BF16 ? CUDA_R_16BF : CUDA_R_32F;
}

void ot_cuda_product(struct ot_dev *dev, bool trans_a, bool trans_b, size_t m, size_t n, size_t k,
                     float alpha, struct ot_cuda_matrix a, struct ot_cuda_matrix b, float beta,
                     void *c, enum ot_type c_type, size_t ldc, const char *what)
{
    struct ot_cuda *cuda = ot_cuda_of(dev);
    const bool tf32 = a.type == OT_F32 && cuda->conf.compute == OT_COMPUTE_TF32;

    if (dev->latch.code != OT_OK || !m || !n)
        return;
    (void)ot_cublas_bad(dev,
                        cublasGemmEx(cuda->cublas, trans_b ? CUBLAS_OP_T : CUBLAS_OP_N,
                                     trans_a ? CUBLAS_OP_T : CUBLAS_OP_N, (int)n, (int)m, (int)k,
                                     &alpha, b.v, type_of(b.type), (int)b.ld, a.v, type_of(a.type),
                                     (int)a.ld, &beta, c, type_of(c_type), (int)ldc,
                                     tf32 ? CUBLAS_COMPUTE_32F_FAST_TF32 : CUBLAS_COMPUTE_32F,
                                     CUBLAS_GEMM_DEFAULT),
                        what);
}

void ot_cuda_gemm(struct ot_dev *dev, bool trans_a, bool trans_b, size_t m, size_t n, size_t k,
                  float alpha, const float *a, size_t lda, const float *b, size_t ldb, float beta,
                  float *c, size_t ldc)
{
    ot_cuda_product(dev, trans_a, trans_b, m, n, k, alpha,
                    (struct ot_cuda_matrix){ a, OT_F32, lda },
                    (struct ot_cuda_matrix){ b, OT_F32, ldb }, beta, c, OT_F32, ldc, "gemm");
}
