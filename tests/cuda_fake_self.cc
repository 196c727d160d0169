// cuda_fake_self.cc - what the fake of CUDA promises, checked: see OT_FAKE_SELF in gpu_fake.h.
#include <cublas_v2.h>
#include <cuda_runtime_api.h>
#include <cudnn.h>
#include <math.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <vector>

#include "tests/cuda_fibres.hh"
#include "tests/cuda_fake_i.hh"
#include "tests/gpu_host.h"

#define STRING_(x) #x
#define STRING(x)  STRING_(x)
#define EXPECT(what)                                          \
    do {                                                      \
        if (!(what))                                          \
            return __FILE__ ":" STRING(__LINE__) ": " #what;  \
    } while (0)

namespace
{

// Device memory, pinned memory and two streams, of a test.
struct bench {
    static constexpr size_t n = 64;
    float *device, *other, *pinned;
    cudaStream_t a, b;
    cudaEvent_t event;

    explicit bench(uint64_t way)
    {
        ot_test_cuda_way(way);
        cudaMalloc(reinterpret_cast<void **>(&device), n * sizeof(float));
        cudaMalloc(reinterpret_cast<void **>(&other), n * sizeof(float));
        cudaMallocHost(reinterpret_cast<void **>(&pinned), n * sizeof(float));
        cudaStreamCreateWithFlags(&a, cudaStreamNonBlocking);
        cudaStreamCreateWithFlags(&b, cudaStreamNonBlocking);
        cudaEventCreateWithFlags(&event, cudaEventDisableTiming);
    }

    ~bench()
    {
        cudaEventDestroy(event);
        cudaStreamDestroy(a);
        cudaStreamDestroy(b);
        cudaFree(device);
        cudaFree(other);
        cudaFreeHost(pinned);
        ot_test_cuda_way(0);
        cudaGetLastError();
    }

    float peek(const float *p) const
    {
        float v;

        ot_fake_peek(&v, p, sizeof v);
        return v;
    }

    cudaError_t send(cudaStream_t s, const float *from)
    {
        return cudaMemcpyAsync(device, from, n * sizeof(float), cudaMemcpyHostToDevice, s);
    }

    cudaError_t set(float *p, int byte, cudaStream_t s)
    {
        return cudaMemsetAsync(p, byte, n * sizeof(float), s);
    }
};

bool was_wrong(const char *part)
{
    char what[512];

    return ot_fake_wrong(what, sizeof what) && strstr(what, part);
}

} // namespace

extern "C" {

const char *ot_fake_self_what_is_queued_runs_when_it_is_waited_for(void)
{
    bench t(0);

    EXPECT(isnan(t.peek(t.device))); // garbage
    EXPECT(t.set(t.device, 0, t.a) == cudaSuccess);
    EXPECT(ot_fake_queued() == 1 && isnan(t.peek(t.device)));
    EXPECT(cudaStreamQuery(t.a) == cudaErrorNotReady);
    EXPECT(cudaStreamSynchronize(t.a) == cudaSuccess && t.peek(t.device) == 0.0f);
    EXPECT(cudaStreamQuery(t.a) == cudaSuccess && ot_fake_queued() == 0);
    ot_test_cuda_way(1);
    t.set(t.device, 0xff, t.a);
    EXPECT(ot_fake_queued() == 0);
    return nullptr;
}

const char *ot_fake_self_pinned_memory_is_read_when_the_copy_runs_and_pageable_at_once(void)
{
    bench t(0);
    float pageable[bench::n] = { 1.0f };

    t.pinned[0] = 1.0f;
    EXPECT(t.send(t.a, t.pinned) == cudaSuccess);
    t.pinned[0] = 2.0f; // too early: shows
    cudaStreamSynchronize(t.a);
    EXPECT(t.peek(t.device) == 2.0f);
    EXPECT(t.send(t.a, pageable) == cudaSuccess);
    pageable[0] = 3.0f;
    cudaStreamSynchronize(t.a);
    EXPECT(t.peek(t.device) == 1.0f);
    EXPECT(cudaMemcpyAsync(pageable, t.device, sizeof pageable, cudaMemcpyDeviceToHost, t.a) ==
           cudaSuccess);
    EXPECT(pageable[0] == 1.0f); // returns when it is there
    return nullptr;
}

const char *ot_fake_self_what_arrives_is_garbage_until_it_does(void)
{
    bench t(0);

    t.pinned[0] = 1.0f;
    t.set(t.device, 0, t.a);
    EXPECT(cudaMemcpyAsync(t.pinned, t.device, sizeof(float), cudaMemcpyDeviceToHost, t.a) ==
           cudaSuccess);
    EXPECT(isnan(t.pinned[0]));
    cudaStreamSynchronize(t.a);
    EXPECT(t.pinned[0] == 0.0f);
    return nullptr;
}

// Whether b's copy can run before a's fill; never when it waits for an event.
const char *ot_fake_self_streams_run_apart_but_for_events(void)
{
    unsigned early[2] = { 0, 0 };

    for (uint64_t way = 0; way < 40; way++) {
        for (int waits = 0; waits < 2; waits++) {
            bench t(way);

            t.set(t.device, 0xff, t.a);
            cudaStreamSynchronize(t.a);
            t.set(t.device, 0, t.a);
            EXPECT(cudaEventRecord(t.event, t.a) == cudaSuccess);
            if (waits)
                EXPECT(cudaStreamWaitEvent(t.b, t.event, 0) == cudaSuccess);
            cudaMemcpyAsync(t.other, t.device, sizeof(float), cudaMemcpyDeviceToDevice, t.b);
            cudaStreamSynchronize(t.b);
            early[waits] += t.peek(t.other) != 0.0f;
            cudaStreamSynchronize(t.a);
        }
    }
    EXPECT(early[0] > 5 && early[0] < 35 && early[1] == 0);
    return nullptr;
}

const char *ot_fake_self_memory_is_fenced_and_what_does_not_fit_is_refused(void)
{
    bench t(0);
    float host[bench::n + 1] = {};
    void *p;
    size_t room, total;
    int status;

    EXPECT(cudaMemcpyAsync(t.device, host, sizeof host, cudaMemcpyHostToDevice, t.a) ==
           cudaErrorInvalidValue);
    EXPECT(was_wrong("goes out of bounds"));
    EXPECT(cudaMemcpyAsync(host, host, 4, cudaMemcpyHostToDevice, t.a) == cudaErrorInvalidValue);
    EXPECT(was_wrong("from host to host"));
    EXPECT(cudaGetLastError() == cudaErrorInvalidValue && cudaGetLastError() == cudaSuccess);
#ifndef __SANITIZE_ADDRESS__ // which stops there
    ot_fibres_order(0);
    cudaLaunchHostFunc(
        t.a, [](void *end) { static_cast<float *>(end)[0] = 1.0f; }, t.device + bench::n);
    cudaStreamSynchronize(t.a);
    EXPECT(was_wrong("written past its end"));
    cudaMemset(t.device, 0, 4);
    const float mend = ot_host_bits<float>(0x5a5a5a5au);
    cudaLaunchHostFunc(
        t.a, [](void *end) { static_cast<float *>(end)[0] = ot_host_bits<float>(0x5a5a5a5au); },
        t.device + bench::n);
    cudaStreamSynchronize(t.a);
    EXPECT(mend != 0.0f && !was_wrong(""));
#endif
    fflush(nullptr);
    if (fork() == 0) { // the host may not touch it
        signal(SIGSEGV, SIG_DFL);
        close(2);
        _exit(t.device[0] == 1.0f ? 1 : 0);
    }
    EXPECT(wait(&status) > 0 && !(WIFEXITED(status) && WEXITSTATUS(status) < 2));
    ot_fake_capacity(static_cast<size_t>(1) << 20);
    EXPECT(cudaMalloc(&p, static_cast<size_t>(2) << 20) == cudaErrorMemoryAllocation && !p);
    EXPECT(cudaMemGetInfo(&room, &total) == cudaSuccess && room < total && total == 1 << 20);
    ot_fake_capacity(0);
    return nullptr;
}

// x = 2 x through the second stream, twice as a graph of one recording.
const char *ot_fake_self_a_graph_replays_what_was_recorded(void)
{
    for (uint64_t way = 0; way < 10; way++) {
        bench t(way);
        cudaGraph_t graph;
        cudaGraphExec_t exec;
        cublasHandle_t blas;
        float two = 2.0f, zero = 0.0f, *doubled = t.other;

        cublasCreate(&blas);
        cublasSetStream(blas, t.b);
        cublasSgemm(blas, CUBLAS_OP_N, CUBLAS_OP_N, 1, 1, 1, &two, t.device, 1, t.device + 1, 1,
                    &zero, doubled, 1);
        cudaStreamSynchronize(t.b);
        t.pinned[0] = 3.0f;
        t.send(t.a, t.pinned);
        EXPECT(cudaStreamBeginCapture(t.a, cudaStreamCaptureModeGlobal) == cudaSuccess);
        cudaEventRecord(t.event, t.a);
        cudaStreamWaitEvent(t.b, t.event, 0);
        EXPECT(cublasSgemm(blas, CUBLAS_OP_N, CUBLAS_OP_N, 1, 1, 1, &two, t.device, 1, t.device + 1,
                           1, &zero, doubled, 1) == CUBLAS_STATUS_SUCCESS);
        two = 5.0f; // was taken by value
        fake::loads(t.a, "code", "that nothing has launched");
        EXPECT(was_wrong("code is launched in a capture"));
        cudaEventRecord(t.event, t.b);
        cudaStreamWaitEvent(t.a, t.event, 0);
        cudaMemcpyAsync(t.device, doubled, sizeof(float), cudaMemcpyDeviceToDevice, t.a);
        EXPECT(cudaStreamEndCapture(t.a, &graph) == cudaSuccess);
        EXPECT(cudaGraphInstantiate(&exec, graph, 0) == cudaSuccess);
        EXPECT(cudaGraphDestroy(graph) == cudaSuccess);
        t.pinned[1] = 1.0f; // nothing has run but what went before
        EXPECT(cudaStreamSynchronize(t.a) == cudaSuccess && t.peek(t.device) == 3.0f);
        t.send(t.a, t.pinned);
        for (int i = 0; i < 2; i++)
            EXPECT(cudaGraphLaunch(exec, t.a) == cudaSuccess);
        EXPECT(cudaStreamSynchronize(t.a) == cudaSuccess && t.peek(t.device) == 12.0f);
        cudaGraphExecDestroy(exec);
        cublasDestroy(blas);
    }
    return nullptr;
}

const char *ot_fake_self_waiting_and_allocating_spoil_a_capture(void)
{
    bench t(0);
    void *p = nullptr;
    float pageable[4] = {};

    for (int what = 0; what < 5; what++) {
        cudaGraph_t graph;
        cudaError_t e;

        EXPECT(cudaStreamBeginCapture(t.a, cudaStreamCaptureModeGlobal) == cudaSuccess);
        cudaEventRecord(t.event, t.a);
        e = what == 0   ? cudaStreamSynchronize(t.a)
            : what == 1 ? cudaMalloc(&p, 4)
            : what == 2 ? cudaEventQuery(t.event)
            : what == 3 ? cudaDeviceSynchronize()
                        : cudaMemcpy(pageable, t.device, 4, cudaMemcpyDeviceToHost);
        EXPECT(e == (what == 2 ? cudaErrorCapturedEvent : cudaErrorStreamCaptureUnsupported));
        EXPECT(t.set(t.device, 0, t.a) == cudaErrorStreamCaptureInvalidated);
        EXPECT(cudaStreamEndCapture(t.a, &graph) == cudaErrorStreamCaptureInvalidated && !graph);
        EXPECT(t.set(t.device, 0, t.a) == cudaSuccess); // as before
    }
    return nullptr;
}

const char *ot_fake_self_a_capture_must_be_joined(void)
{
    bench t(0);
    cudaGraph_t graph;

    cudaStreamBeginCapture(t.a, cudaStreamCaptureModeGlobal);
    cudaEventRecord(t.event, t.a);
    cudaStreamWaitEvent(t.b, t.event, 0);
    t.set(t.device, 0, t.b);
    EXPECT(cudaStreamEndCapture(t.a, &graph) == cudaErrorStreamCaptureUnjoined);
    cudaEventRecord(t.event, t.b); // outside
    cudaStreamBeginCapture(t.a, cudaStreamCaptureModeGlobal);
    EXPECT(cudaStreamWaitEvent(t.a, t.event, 0) == cudaErrorStreamCaptureIsolation);
    EXPECT(cudaStreamEndCapture(t.a, &graph) == cudaErrorStreamCaptureInvalidated);
    return nullptr;
}

const char *ot_fake_self_a_product_checks_its_leading_dimensions(void)
{
    bench t(0);
    cublasHandle_t blas;
    const float one = 1.0f, zero = 0.0f;
    const auto run = [&](cublasOperation_t ta, cublasOperation_t tb, int lda, int ldb, int ldc) {
        return cublasSgemm(blas, ta, tb, 2, 3, 4, &one, t.device, lda, t.device + 16, ldb, &zero,
                           t.other, ldc);
    };

    cublasCreate(&blas);
    cublasSetStream(blas, t.a);
    for (size_t i = 0; i < bench::n; i++)
        t.pinned[i] = static_cast<float>(i);
    t.send(t.a, t.pinned);
    EXPECT(run(CUBLAS_OP_N, CUBLAS_OP_N, 1, 4, 2) == CUBLAS_STATUS_INVALID_VALUE);
    EXPECT(run(CUBLAS_OP_T, CUBLAS_OP_N, 3, 4, 2) == CUBLAS_STATUS_INVALID_VALUE);
    EXPECT(run(CUBLAS_OP_N, CUBLAS_OP_N, 2, 3, 2) == CUBLAS_STATUS_INVALID_VALUE);
    EXPECT(run(CUBLAS_OP_N, CUBLAS_OP_T, 2, 2, 2) == CUBLAS_STATUS_INVALID_VALUE);
    EXPECT(run(CUBLAS_OP_N, CUBLAS_OP_N, 2, 4, 1) == CUBLAS_STATUS_INVALID_VALUE);
    EXPECT(run(CUBLAS_OP_N, CUBLAS_OP_N, 30, 4, 2) == CUBLAS_STATUS_EXECUTION_FAILED);
    EXPECT(was_wrong("is not all on the device"));
    EXPECT(run(CUBLAS_OP_N, CUBLAS_OP_N, 2, 4, 2) == CUBLAS_STATUS_SUCCESS);
    cudaStreamSynchronize(t.a);
    // C(1, 2) = sum over j of A(1, j) B(j, 2), columns first
    EXPECT(t.peek(t.other + 5) == 1 * 24 + 3 * 25 + 5 * 26 + 7 * 27);
    cublasDestroy(blas);
    return nullptr;
}

const char *ot_fake_self_tf32_and_bf16_round(void)
{
    bench t(0);
    cublasHandle_t blas;
    const float one = 1.0f, zero = 0.0f;
    uint16_t half;

    cublasCreate(&blas);
    cublasSetStream(blas, t.a);
    t.pinned[0] = 1.0f + 0x1p-12f;
    t.pinned[1] = 1.0f;
    t.send(t.a, t.pinned);
    for (int tf32 = 0; tf32 < 2; tf32++) {
        cublasSetMathMode(blas, tf32 ? CUBLAS_TF32_TENSOR_OP_MATH : CUBLAS_DEFAULT_MATH);
        cublasSgemm(blas, CUBLAS_OP_N, CUBLAS_OP_N, 1, 1, 1, &one, t.device, 1, t.device + 1, 1,
                    &zero, t.other, 1);
        cudaStreamSynchronize(t.a);
        EXPECT(t.peek(t.other) == (tf32 ? 1.0f : 1.0f + 0x1p-12f));
    }
    reinterpret_cast<uint16_t *>(t.pinned)[0] = 0x3f81; // 1 + 2^-7
    t.send(t.a, t.pinned);
    EXPECT(cublasGemmEx(blas, CUBLAS_OP_N, CUBLAS_OP_N, 1, 1, 1, &one, t.device, CUDA_R_16BF, 1,
                        t.device, CUDA_R_16BF, 1, &zero, t.other, CUDA_R_16BF, 1,
                        CUBLAS_COMPUTE_32F, CUBLAS_GEMM_DEFAULT) == CUBLAS_STATUS_SUCCESS);
    cudaStreamSynchronize(t.a);
    ot_fake_peek(&half, t.other, sizeof half);
    EXPECT(half == 0x3f82); // 1 + 2^-6 + 2^-14, rounded
    EXPECT(cublasGemmEx(blas, CUBLAS_OP_N, CUBLAS_OP_N, 1, 1, 1, &one, t.device, CUDA_R_16BF, 1,
                        t.device, CUDA_R_32F, 1, &zero, t.other, CUDA_R_16BF, 1,
                        CUBLAS_COMPUTE_32F, CUBLAS_GEMM_DEFAULT) == CUBLAS_STATUS_NOT_SUPPORTED);
    cublasDestroy(blas);
    return nullptr;
}

const char *ot_fake_self_a_convolution_checks_its_shapes_and_workspace(void)
{
    bench t(0);
    cudnnHandle_t dnn;
    cudnnTensorDescriptor_t x, y;
    cudnnFilterDescriptor_t w;
    cudnnConvolutionDescriptor_t op;
    cudnnConvolutionFwdAlgoPerf_t perf[16];
    const float one = 1.0f, zero = 0.0f;
    int n = 0;
    const auto run = [&](cudnnConvolutionFwdAlgo_t algo, void *room, size_t bytes) {
        return cudnnConvolutionForward(dnn, &one, x, t.device, w, t.device + 16, op, algo, room,
                                       bytes, &zero, y, t.other);
    };

    cudnnCreate(&dnn);
    cudnnSetStream(dnn, t.a);
    cudnnCreateTensorDescriptor(&x);
    cudnnCreateTensorDescriptor(&y);
    cudnnCreateFilterDescriptor(&w);
    cudnnCreateConvolutionDescriptor(&op);
    EXPECT(cudnnSetTensor4dDescriptor(x, CUDNN_TENSOR_NCHW, CUDNN_DATA_FLOAT, 1, 0, 3, 3) ==
           CUDNN_STATUS_BAD_PARAM);
    EXPECT(cudnnSetTensor4dDescriptor(x, CUDNN_TENSOR_NCHW, CUDNN_DATA_FLOAT, 4096, 1024, 512, 1) ==
           CUDNN_STATUS_NOT_SUPPORTED);
    cudnnSetTensor4dDescriptor(x, CUDNN_TENSOR_NCHW, CUDNN_DATA_FLOAT, 1, 1, 3, 3);
    cudnnSetTensor4dDescriptor(y, CUDNN_TENSOR_NCHW, CUDNN_DATA_FLOAT, 1, 1, 3, 2);
    cudnnSetFilter4dDescriptor(w, CUDNN_DATA_FLOAT, CUDNN_TENSOR_NCHW, 1, 1, 2, 2);
    cudnnSetConvolution2dDescriptor(op, 0, 0, 1, 1, 1, 1, CUDNN_CROSS_CORRELATION,
                                    CUDNN_DATA_FLOAT);
    EXPECT(run(CUDNN_CONVOLUTION_FWD_ALGO_IMPLICIT_GEMM, nullptr, 0) == CUDNN_STATUS_BAD_PARAM);
    cudnnSetTensor4dDescriptor(y, CUDNN_TENSOR_NCHW, CUDNN_DATA_FLOAT, 1, 1, 2, 2);
    EXPECT(cudnnGetConvolutionForwardAlgorithm_v7(dnn, x, w, op, y, 16, &n, perf) ==
           CUDNN_STATUS_SUCCESS);
    EXPECT(n > 4 && perf[0].status == CUDNN_STATUS_SUCCESS &&
           perf[n - 1].status == CUDNN_STATUS_NOT_SUPPORTED_SHAPE);
    EXPECT(run(CUDNN_CONVOLUTION_FWD_ALGO_DIRECT, nullptr, 0) == CUDNN_STATUS_NOT_SUPPORTED_SHAPE);
    EXPECT(run(CUDNN_CONVOLUTION_FWD_ALGO_IMPLICIT_PRECOMP_GEMM, t.other, 8) ==
           CUDNN_STATUS_BAD_PARAM);
    EXPECT(was_wrong("bytes of workspace, got 8"));
    cudnnSetConvolutionMathType(op, CUDNN_FMA_MATH);
    for (size_t i = 0; i < bench::n; i++)
        t.pinned[i] = static_cast<float>(i);
    t.send(t.a, t.pinned);
    EXPECT(run(CUDNN_CONVOLUTION_FWD_ALGO_IMPLICIT_GEMM, nullptr, 0) == CUDNN_STATUS_SUCCESS);
    cudaStreamSynchronize(t.a);
    EXPECT(t.peek(t.other + 3) == 4 * 16 + 5 * 17 + 7 * 18 + 8 * 19);
    cudnnDestroyTensorDescriptor(x);
    cudnnDestroyTensorDescriptor(y);
    cudnnDestroyFilterDescriptor(w);
    cudnnDestroyConvolutionDescriptor(op);
    cudnnDestroy(dnn);
    return nullptr;
}

const char *ot_fake_self_a_graph_of_operations_is_checked(void)
{
    cudnnBackendDescriptor_t tensor, pack;
    const int64_t dim[] = { 2, 3, 4, 5 }, odd = 3, id = 1;
    const cudnnDataType_t type = CUDNN_DATA_FLOAT;
    const auto set = [&](cudnnBackendAttributeName_t name, cudnnBackendAttributeType_t of,
                         int64_t n, const void *v) {
        return cudnnBackendSetAttribute(tensor, name, of, n, v);
    };

    cudnnBackendCreateDescriptor(CUDNN_BACKEND_TENSOR_DESCRIPTOR, &tensor);
    EXPECT(set(CUDNN_ATTR_TENSOR_DIMENSIONS, CUDNN_TYPE_INT64, 4, dim) == CUDNN_STATUS_SUCCESS);
    EXPECT(set(CUDNN_ATTR_TENSOR_STRIDES, CUDNN_TYPE_INT32, 4, dim) == CUDNN_STATUS_BAD_PARAM);
    EXPECT(was_wrong("cudnnBackendSetAttribute: 4 of 903"));
    EXPECT(set(CUDNN_ATTR_TENSOR_STRIDES, CUDNN_TYPE_INT64, 3, dim) == CUDNN_STATUS_BAD_PARAM);
    EXPECT(was_wrong("cudnnBackendSetAttribute: 3 of 903"));
    EXPECT(set(CUDNN_ATTR_TENSOR_STRIDES, CUDNN_TYPE_INT64, 4, dim) == CUDNN_STATUS_SUCCESS);
    set(CUDNN_ATTR_TENSOR_DATA_TYPE, CUDNN_TYPE_DATA_TYPE, 1, &type);
    set(CUDNN_ATTR_TENSOR_UNIQUE_ID, CUDNN_TYPE_INT64, 1, &id);
    EXPECT(cudnnBackendFinalize(tensor) == CUDNN_STATUS_BAD_PARAM); // no alignment
    set(CUDNN_ATTR_TENSOR_BYTE_ALIGNMENT, CUDNN_TYPE_INT64, 1, &odd);
    EXPECT(cudnnBackendFinalize(tensor) == CUDNN_STATUS_BAD_PARAM);
    set(CUDNN_ATTR_TENSOR_BYTE_ALIGNMENT, CUDNN_TYPE_INT64, 1, &dim[2]);
    EXPECT(cudnnBackendFinalize(tensor) == CUDNN_STATUS_SUCCESS);
    EXPECT(cudnnBackendFinalize(tensor) == CUDNN_STATUS_BAD_PARAM); // twice
    EXPECT(set(CUDNN_ATTR_TENSOR_UNIQUE_ID, CUDNN_TYPE_INT64, 1, &id) == CUDNN_STATUS_BAD_PARAM);
    cudnnBackendDestroyDescriptor(tensor);
    EXPECT(cudnnBackendDestroyDescriptor(tensor) == CUDNN_STATUS_BAD_PARAM);
    EXPECT(was_wrong("cudnnBackendDestroyDescriptor: no descriptor"));
    cudnnBackendCreateDescriptor(CUDNN_BACKEND_VARIANT_PACK_DESCRIPTOR, &pack);
    cudnnBackendSetAttribute(pack, CUDNN_ATTR_VARIANT_PACK_UNIQUE_IDS, CUDNN_TYPE_INT64, 4, dim);
    EXPECT(cudnnBackendFinalize(pack) == CUDNN_STATUS_BAD_PARAM); // no arrays
    cudnnBackendDestroyDescriptor(pack);
    return nullptr;
}

// ---- fibres -------------------------------------------------------------------------------------

const char *ot_fake_self_a_barrier_that_not_all_reach_is_told(void)
{
    ot_fibres_run("uneven", dim3(2), dim3(8, 4), 0, [] {
        if (threadIdx.y != 3)
            __syncthreads();
    });
    EXPECT(was_wrong("uneven: block (0, 0, 0): thread 0 waits at a barrier"));
    ot_fibres_run("uneven warp", dim3(1), dim3(64), 0, [] {
        if (threadIdx.x > 40)
            __syncthreads();
        else
            __shfl_sync(~0u, 1, 0);
    });
    EXPECT(was_wrong("uneven warp: block (0, 0, 0): thread "));
    return nullptr;
}

const char *ot_fake_self_lanes_exchange_within_their_group(void)
{
    static unsigned got[64][6];
    static double sum;

    for (uint64_t way = 0; way < 5; way++) {
        ot_fibres_order(way);
        memset(got, 0, sizeof got);
        sum = 0.0;
        ot_fibres_run("lanes", dim3(1), dim3(16, 4), 256, [] {
            const unsigned t = threadIdx.y * 16 + threadIdx.x;
            double v = t, *shared = static_cast<double *>(ot_host_dynamic_shared());

            got[t][0] = __shfl_sync(~0u, t, 3);
            got[t][1] = __shfl_xor_sync(~0u, t, 5);
            got[t][2] = __shfl_down_sync(~0u, t, 1, 8);
            got[t][3] = __shfl_up_sync(~0u, t, 4);
            got[t][4] = __ballot_sync(~0u, t % 3 == 0);
            if (t % 3 == 0 && t < 32) // a part of the warp, and the rest of it
                got[t][5] = __ballot_sync(0x49249249u, t % 2);
            else if (t < 32)
                got[t][5] = __shfl_sync(~0x49249249u, t, 31);
            for (int lanes = 16; lanes; lanes /= 2)
                v += __shfl_xor_sync(~0u, v, lanes);
            if (t % 32 == 0)
                shared[t / 32] = v;
            __syncthreads();
            if (t == 0)
                sum = shared[0] + shared[1];
        });
        for (unsigned t = 0; t < 64; t++) {
            EXPECT(got[t][0] == t / 32 * 32 + 3);
            EXPECT(got[t][1] == (t ^ 5));
            EXPECT(got[t][2] == (t % 8 < 7 ? t + 1 : t));
            EXPECT(got[t][3] == (t % 32 >= 4 ? t - 4 : t));
            EXPECT(got[t][4] == (t < 32 ? 0x49249249u : 0x92492492u));
            EXPECT(got[t][5] == (t >= 32 ? 0u : t % 3 == 0 ? 0x08208208u : 31u));
        }
        EXPECT(sum == 63.0 * 64.0 / 2.0);
    }
    ot_fibres_order(0);
    return nullptr;
}

} // extern "C"
