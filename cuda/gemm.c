/*
 * gemm.c - the matrix product through cuBLAS, in fp32.
 *
 * cuBLAS counts columns first: our row-major (m, n) is its (n, m), so C' = op(B)' op(A)' is asked
 * for.
 */
#include "cuda/device_i.h"

void ot_cuda_gemm(struct ot_dev *dev, bool trans_a, bool trans_b, size_t m, size_t n, size_t k,
                  float alpha, const float *a, size_t lda, const float *b, size_t ldb, float beta,
                  float *c, size_t ldc)
{
    if (dev->latch.code != OT_OK || !m || !n)
        return;
    (void)ot_cublas_bad(dev,
                        cublasSgemm(ot_cuda_of(dev)->cublas, trans_b ? CUBLAS_OP_T : CUBLAS_OP_N,
                                    trans_a ? CUBLAS_OP_T : CUBLAS_OP_N, (int)n, (int)m, (int)k,
                                    &alpha, b, (int)ldb, a, (int)lda, &beta, c, (int)ldc),
                        "gemm");
}
