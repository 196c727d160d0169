// cuda_fake_dnn.hh - the fake cuDNN's descriptors.
#ifndef OT_TESTS_CUDA_FAKE_DNN_HH
#define OT_TESTS_CUDA_FAKE_DNN_HH

#include <cudnn.h>

#include "tests/cuda_fake_i.hh"
#include "tests/cuda_fake_math.hh"

struct cudnnContext {
    cudaStream_t stream;
};

// A tensor, or a filter: n is its outputs, c the inputs of a group.
struct cudnnTensorStruct {
    bool set;
    bool last; // said to be channels last: NHWC, or KRSC of a filter
    fake::number type;
    size_t n, c, h, w;     // how many
    size_t sn, sc, sh, sw; // strides

    size_t count() const
    {
        return n * c * h * w;
    }

    // How far it reaches in memory.
    size_t extent() const
    {
        return (n - 1) * sn + (c - 1) * sc + (h - 1) * sh + (w - 1) * sw + 1;
    }

    // Of the i-th element in the order N, C, H, W.
    size_t at(size_t i) const
    {
        return i / (c * h * w) * sn + i / (h * w) % c * sc + i / w % h * sh + i % w * sw;
    }

    // Whether memory is channels last; of a tensor that is both, too.
    bool nhwc() const
    {
        return (c == 1 || sc == 1) && (w == 1 || sw == c) && (h == 1 || sh == w * c);
    }
};

struct cudnnFilterStruct : cudnnTensorStruct {
};

struct cudnnConvolutionStruct {
    bool set;
    int ph, pw, sh, sw, dh, dw, groups;
    cudnnMathType_t math;
    cudnnDataType_t compute;
};

namespace fake
{

std::vector<float> gather(const cudnnTensorStruct &t, const void *p);
void scatter(const cudnnTensorStruct &t, const std::vector<double> &v, float alpha, float beta,
             void *p);
bool there(const cudnnTensorStruct &t, const void *p, const char *what);
bool number_of(cudnnDataType_t from, number *to); // false: not one of the fake's

// A convolution, whichever interface asks for it (cuda_fake_conv.cc).
enum direction { FORWARD, DATA, FILTER };

struct shape {
    cudnnTensorStruct x, y, w;
    cudnnConvolutionStruct op;
};

constexpr uint64_t conv_cost = 100; // how long an algorithm takes

cudnnStatus_t check(const shape &s);
// Of a and b, in the order of x, w, y, in the order N, C, H, W.
std::vector<double> products(const shape &s, direction d, const void *a, const void *b);

} // namespace fake

#define OT_DNN(name)                                       \
    fake::call here(#name);                                \
    if (here.injected)                                     \
    return static_cast<cudnnStatus_t>(here.injected)

#define OT_DNN_WORKS(name, handle)                 \
    OT_DNN(name);                                  \
    if (!(handle))                                 \
        return CUDNN_STATUS_NOT_INITIALIZED;       \
    if (fake::broken() != cudaSuccess)             \
    return CUDNN_STATUS_EXECUTION_FAILED

#endif
