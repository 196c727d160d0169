// cuda_fake_graph.cc - the fake cuDNN's graph interface: descriptors whose attributes are checked as
// documented, graphs of one convolution and what may follow it forward, and plans that a test lists.
#include <algorithm>
#include <map>
#include <set>

#include "tests/cuda_fake_dnn.hh"

using namespace fake;

namespace
{

using kind = cudnnBackendDescriptorType_t;
using attribute = cudnnBackendAttributeName_t;
using element = cudnnBackendAttributeType_t;

struct value {
    element type;
    std::vector<char> bytes;
};

struct descriptor {
    kind type;
    bool done = false; // finalized
    std::map<attribute, value> has;
    size_t plan = 0;            // of a config, an engine, a plan
    descriptor *of = nullptr;   // whose config; of that, the graph
};

struct rule {
    kind of;
    attribute name;
    element type;
    size_t least, most;
    bool needed;
};

constexpr kind TENSOR = CUDNN_BACKEND_TENSOR_DESCRIPTOR, CONV = CUDNN_BACKEND_CONVOLUTION_DESCRIPTOR,
               FWD = CUDNN_BACKEND_OPERATION_CONVOLUTION_FORWARD_DESCRIPTOR,
               BWD_DATA = CUDNN_BACKEND_OPERATION_CONVOLUTION_BACKWARD_DATA_DESCRIPTOR,
               BWD_FILTER = CUDNN_BACKEND_OPERATION_CONVOLUTION_BACKWARD_FILTER_DESCRIPTOR,
               POINT = CUDNN_BACKEND_POINTWISE_DESCRIPTOR,
               POINT_OP = CUDNN_BACKEND_OPERATION_POINTWISE_DESCRIPTOR,
               GRAPH = CUDNN_BACKEND_OPERATIONGRAPH_DESCRIPTOR,
               HEUR = CUDNN_BACKEND_ENGINEHEUR_DESCRIPTOR, CFG = CUDNN_BACKEND_ENGINECFG_DESCRIPTOR,
               ENGINE = CUDNN_BACKEND_ENGINE_DESCRIPTOR,
               PLAN = CUDNN_BACKEND_EXECUTION_PLAN_DESCRIPTOR,
               PACK = CUDNN_BACKEND_VARIANT_PACK_DESCRIPTOR;
constexpr element DESC = CUDNN_TYPE_BACKEND_DESCRIPTOR, I64 = CUDNN_TYPE_INT64,
                  DTYPE = CUDNN_TYPE_DATA_TYPE;

const rule rules[] = {
    { TENSOR, CUDNN_ATTR_TENSOR_DATA_TYPE, DTYPE, 1, 1, true },
    { TENSOR, CUDNN_ATTR_TENSOR_DIMENSIONS, I64, 4, 5, true },
    { TENSOR, CUDNN_ATTR_TENSOR_STRIDES, I64, 4, 5, true },
    { TENSOR, CUDNN_ATTR_TENSOR_UNIQUE_ID, I64, 1, 1, true },
    { TENSOR, CUDNN_ATTR_TENSOR_BYTE_ALIGNMENT, I64, 1, 1, true },
    { TENSOR, CUDNN_ATTR_TENSOR_IS_VIRTUAL, CUDNN_TYPE_BOOLEAN, 1, 1, false },
    { CONV, CUDNN_ATTR_CONVOLUTION_COMP_TYPE, DTYPE, 1, 1, true },
    { CONV, CUDNN_ATTR_CONVOLUTION_CONV_MODE, CUDNN_TYPE_CONVOLUTION_MODE, 1, 1, true },
    { CONV, CUDNN_ATTR_CONVOLUTION_SPATIAL_DIMS, I64, 1, 1, true },
    { CONV, CUDNN_ATTR_CONVOLUTION_PRE_PADDINGS, I64, 2, 2, true },
    { CONV, CUDNN_ATTR_CONVOLUTION_POST_PADDINGS, I64, 2, 2, true },
    { CONV, CUDNN_ATTR_CONVOLUTION_FILTER_STRIDES, I64, 2, 2, true },
    { CONV, CUDNN_ATTR_CONVOLUTION_DILATIONS, I64, 2, 2, true },
    { FWD, CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_CONV_DESC, DESC, 1, 1, true },
    { FWD, CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_X, DESC, 1, 1, true },
    { FWD, CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_W, DESC, 1, 1, true },
    { FWD, CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_Y, DESC, 1, 1, true },
    { FWD, CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_ALPHA, CUDNN_TYPE_FLOAT, 1, 1, true },
    { FWD, CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_BETA, CUDNN_TYPE_FLOAT, 1, 1, true },
    { BWD_DATA, CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_DATA_CONV_DESC, DESC, 1, 1, true },
    { BWD_DATA, CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_DATA_DX, DESC, 1, 1, true },
    { BWD_DATA, CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_DATA_W, DESC, 1, 1, true },
    { BWD_DATA, CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_DATA_DY, DESC, 1, 1, true },
    { BWD_DATA, CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_DATA_ALPHA, CUDNN_TYPE_FLOAT, 1, 1, true },
    { BWD_DATA, CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_DATA_BETA, CUDNN_TYPE_FLOAT, 1, 1, true },
    { BWD_FILTER, CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_FILTER_CONV_DESC, DESC, 1, 1, true },
    { BWD_FILTER, CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_FILTER_X, DESC, 1, 1, true },
    { BWD_FILTER, CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_FILTER_DW, DESC, 1, 1, true },
    { BWD_FILTER, CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_FILTER_DY, DESC, 1, 1, true },
    { BWD_FILTER, CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_FILTER_ALPHA, CUDNN_TYPE_FLOAT, 1, 1, true },
    { BWD_FILTER, CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_FILTER_BETA, CUDNN_TYPE_FLOAT, 1, 1, true },
    { POINT, CUDNN_ATTR_POINTWISE_MODE, CUDNN_TYPE_POINTWISE_MODE, 1, 1, true },
    { POINT, CUDNN_ATTR_POINTWISE_MATH_PREC, DTYPE, 1, 1, true },
    { POINT_OP, CUDNN_ATTR_OPERATION_POINTWISE_PW_DESCRIPTOR, DESC, 1, 1, true },
    { POINT_OP, CUDNN_ATTR_OPERATION_POINTWISE_XDESC, DESC, 1, 1, true },
    { POINT_OP, CUDNN_ATTR_OPERATION_POINTWISE_BDESC, DESC, 1, 1, false },
    { POINT_OP, CUDNN_ATTR_OPERATION_POINTWISE_YDESC, DESC, 1, 1, true },
    { GRAPH, CUDNN_ATTR_OPERATIONGRAPH_OPS, DESC, 1, 3, true },
    { GRAPH, CUDNN_ATTR_OPERATIONGRAPH_HANDLE, CUDNN_TYPE_HANDLE, 1, 1, true },
    { HEUR, CUDNN_ATTR_ENGINEHEUR_OPERATION_GRAPH, DESC, 1, 1, true },
    { HEUR, CUDNN_ATTR_ENGINEHEUR_MODE, CUDNN_TYPE_HEUR_MODE, 1, 1, true },
    { PLAN, CUDNN_ATTR_EXECUTION_PLAN_HANDLE, CUDNN_TYPE_HANDLE, 1, 1, true },
    { PLAN, CUDNN_ATTR_EXECUTION_PLAN_ENGINE_CONFIG, DESC, 1, 1, true },
    { PACK, CUDNN_ATTR_VARIANT_PACK_UNIQUE_IDS, I64, 1, 16, true },
    { PACK, CUDNN_ATTR_VARIANT_PACK_DATA_POINTERS, CUDNN_TYPE_VOID_PTR, 1, 16, true },
    { PACK, CUDNN_ATTR_VARIANT_PACK_WORKSPACE, CUDNN_TYPE_VOID_PTR, 1, 1, true },
};

std::set<descriptor *> known_descriptors;

constexpr size_t huge = static_cast<size_t>(4) << 30;
const std::vector<ot_fake_plan> usual = { { 120, 0, 0, 0, false, false, false, 0, 0 },
                                          { 50, 1000, 1, 0, false, false, false, 0, 0 },
                                          { 10, huge, 0, 0, false, false, false, 0, 0 },
                                          { 60, 0, 0, 0, true, false, false, 0, 0 } };
std::vector<ot_fake_plan> plans = usual;
std::vector<unsigned> runs(usual.size());

size_t size_of(element type)
{
    switch (type) {
    case CUDNN_TYPE_INT64:
        return sizeof(int64_t);
    case CUDNN_TYPE_BOOLEAN:
        return sizeof(bool);
    case CUDNN_TYPE_HANDLE:
    case CUDNN_TYPE_VOID_PTR:
    case CUDNN_TYPE_BACKEND_DESCRIPTOR:
        return sizeof(void *);
    default:
        return 4; // enumerations and floats
    }
}

descriptor *descriptor_of(cudnnBackendDescriptor_t p, const char *what)
{
    descriptor *d = static_cast<descriptor *>(p);

    if (known_descriptors.count(d))
        return d;
    wrong("%s: no descriptor", what);
    return nullptr;
}

template <class T> T at(const descriptor &d, attribute name, size_t i = 0)
{
    T v = {};
    const auto p = d.has.find(name);

    if (p != d.has.end() && (i + 1) * sizeof v <= p->second.bytes.size())
        memcpy(&v, p->second.bytes.data() + i * sizeof v, sizeof v);
    return v;
}

size_t how_many(const descriptor &d, attribute name)
{
    const auto p = d.has.find(name);

    return p == d.has.end() ? 0 : p->second.bytes.size() / size_of(p->second.type);
}

descriptor *part(const descriptor &d, attribute name, size_t i = 0)
{
    return descriptor_of(at<cudnnBackendDescriptor_t>(d, name, i), "a part of a descriptor");
}

// ---- what graphs say --------------------------------------------------------------------------

bool is_virtual(const descriptor &t)
{
    return at<bool>(t, CUDNN_ATTR_TENSOR_IS_VIRTUAL);
}

cudnnTensorStruct tensor_of(const descriptor &d)
{
    cudnnTensorStruct t = {};
    size_t dim[4], stride[4];

    for (size_t i = 0; i < 4; i++) {
        dim[i] = static_cast<size_t>(at<int64_t>(d, CUDNN_ATTR_TENSOR_DIMENSIONS, i));
        stride[i] = static_cast<size_t>(at<int64_t>(d, CUDNN_ATTR_TENSOR_STRIDES, i));
    }
    t.set = number_of(at<cudnnDataType_t>(d, CUDNN_ATTR_TENSOR_DATA_TYPE), &t.type);
    t.n = dim[0], t.c = dim[1], t.h = dim[2], t.w = dim[3];
    t.sn = stride[0], t.sc = stride[1], t.sh = stride[2], t.sw = stride[3];
    t.last = t.nhwc();
    return t;
}

cudnnConvolutionStruct convolution_of(const descriptor &d)
{
    const auto pair = [&](attribute name, size_t i) {
        return static_cast<int>(at<int64_t>(d, name, i));
    };

    return { true,
             pair(CUDNN_ATTR_CONVOLUTION_PRE_PADDINGS, 0),
             pair(CUDNN_ATTR_CONVOLUTION_PRE_PADDINGS, 1),
             pair(CUDNN_ATTR_CONVOLUTION_FILTER_STRIDES, 0),
             pair(CUDNN_ATTR_CONVOLUTION_FILTER_STRIDES, 1),
             pair(CUDNN_ATTR_CONVOLUTION_DILATIONS, 0),
             pair(CUDNN_ATTR_CONVOLUTION_DILATIONS, 1),
             1,
             CUDNN_DEFAULT_MATH,
             at<cudnnDataType_t>(d, CUDNN_ATTR_CONVOLUTION_COMP_TYPE) };
}

struct program {
    direction d;
    shape s;                             // y of x's type, as it is stored in the end
    descriptor *x, *w, *y, *bias = nullptr; // tensors
    bool relu = false;

    const cudnnTensorStruct &written() const
    {
        return d == FORWARD ? s.y : d == DATA ? s.x : s.w;
    }
};

cudnnStatus_t read_convolution(const descriptor &op, program *p)
{
    static const attribute names[][6] = {
        { CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_CONV_DESC,
          CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_X, CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_W,
          CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_Y,
          CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_ALPHA,
          CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_BETA },
        { CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_DATA_CONV_DESC,
          CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_DATA_DX, CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_DATA_W,
          CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_DATA_DY,
          CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_DATA_ALPHA,
          CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_DATA_BETA },
        { CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_FILTER_CONV_DESC,
          CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_FILTER_X,
          CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_FILTER_DW,
          CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_FILTER_DY,
          CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_FILTER_ALPHA,
          CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_FILTER_BETA }
    };
    if (op.type != FWD && op.type != BWD_DATA && op.type != BWD_FILTER)
        return CUDNN_STATUS_NOT_SUPPORTED;
    p->d = op.type == FWD ? FORWARD : op.type == BWD_DATA ? DATA : FILTER;
    const attribute *name = names[p->d];

    p->x = part(op, name[1]);
    p->w = part(op, name[2]);
    p->y = part(op, name[3]);
    p->s = { tensor_of(*p->x), tensor_of(*p->y), {}, convolution_of(*part(op, name[0])) };
    static_cast<cudnnTensorStruct &>(p->s.w) = tensor_of(*p->w);
    if (!p->s.w.c || p->s.x.c % p->s.w.c || at<float>(op, name[4]) != 1.0f ||
        at<float>(op, name[5]) != 0.0f)
        return CUDNN_STATUS_BAD_PARAM;
    p->s.op.groups = static_cast<int>(p->s.x.c / p->s.w.c);
    return CUDNN_STATUS_SUCCESS;
}

// What follows: an addition of one value a channel, then max(0, .).
cudnnStatus_t read_pointwise(const descriptor &op, program *p)
{
    if (op.type != POINT_OP || p->relu ||
        part(op, CUDNN_ATTR_OPERATION_POINTWISE_XDESC) != p->y || !is_virtual(*p->y))
        return CUDNN_STATUS_NOT_SUPPORTED;
    const auto mode = at<cudnnPointwiseMode_t>(
        *part(op, CUDNN_ATTR_OPERATION_POINTWISE_PW_DESCRIPTOR), CUDNN_ATTR_POINTWISE_MODE);
    const cudnnTensorStruct before = tensor_of(*p->y);

    p->y = part(op, CUDNN_ATTR_OPERATION_POINTWISE_YDESC);
    if (tensor_of(*p->y).count() != before.count())
        return CUDNN_STATUS_BAD_PARAM;
    if (mode == CUDNN_POINTWISE_ADD && !p->bias) {
        p->bias = part(op, CUDNN_ATTR_OPERATION_POINTWISE_BDESC);
        const cudnnTensorStruct b = tensor_of(*p->bias);

        return b.n == 1 && b.c == before.c && b.h == 1 && b.w == 1 ? CUDNN_STATUS_SUCCESS
                                                                   : CUDNN_STATUS_BAD_PARAM;
    }
    p->relu = mode == CUDNN_POINTWISE_RELU_FWD;
    return p->relu ? CUDNN_STATUS_SUCCESS : CUDNN_STATUS_NOT_SUPPORTED;
}

cudnnStatus_t read_graph(const descriptor &graph, program *p)
{
    cudnnStatus_t s = read_convolution(*part(graph, CUDNN_ATTR_OPERATIONGRAPH_OPS, 0), p);

    for (size_t i = 1; s == CUDNN_STATUS_SUCCESS &&
                       i < how_many(graph, CUDNN_ATTR_OPERATIONGRAPH_OPS);
         i++)
        s = read_pointwise(*part(graph, CUDNN_ATTR_OPERATIONGRAPH_OPS, i), p);
    if (s != CUDNN_STATUS_SUCCESS)
        return s;
    p->s.y = tensor_of(*p->y);
    if (is_virtual(*p->x) || is_virtual(*p->w) || is_virtual(*p->y) ||
        (p->bias && (is_virtual(*p->bias) || tensor_of(*p->bias).type != p->s.y.type)))
        return CUDNN_STATUS_NOT_SUPPORTED;
    return check(p->s);
}

// ---- finalizing ---------------------------------------------------------------------------------

cudnnStatus_t check_tensor(const descriptor &d)
{
    const auto alignment = at<int64_t>(d, CUDNN_ATTR_TENSOR_BYTE_ALIGNMENT);

    if (how_many(d, CUDNN_ATTR_TENSOR_DIMENSIONS) != how_many(d, CUDNN_ATTR_TENSOR_STRIDES) ||
        alignment <= 0 || (alignment & (alignment - 1)))
        return CUDNN_STATUS_BAD_PARAM;
    for (size_t i = 0; i < 4; i++)
        if (at<int64_t>(d, CUDNN_ATTR_TENSOR_DIMENSIONS, i) <= 0 ||
            at<int64_t>(d, CUDNN_ATTR_TENSOR_STRIDES, i) <= 0)
            return CUDNN_STATUS_BAD_PARAM;
    return tensor_of(d).set ? CUDNN_STATUS_SUCCESS : CUDNN_STATUS_NOT_SUPPORTED;
}

cudnnStatus_t check_convolution(const descriptor &d)
{
    const cudnnConvolutionStruct c = convolution_of(d);

    if (at<int64_t>(d, CUDNN_ATTR_CONVOLUTION_SPATIAL_DIMS) != 2 || c.ph < 0 || c.pw < 0 ||
        c.sh <= 0 || c.sw <= 0 || c.dh <= 0 || c.dw <= 0)
        return CUDNN_STATUS_BAD_PARAM;
    for (size_t i = 0; i < 2; i++)
        if (at<int64_t>(d, CUDNN_ATTR_CONVOLUTION_PRE_PADDINGS, i) !=
            at<int64_t>(d, CUDNN_ATTR_CONVOLUTION_POST_PADDINGS, i))
            return CUDNN_STATUS_NOT_SUPPORTED;
    return at<cudnnConvolutionMode_t>(d, CUDNN_ATTR_CONVOLUTION_CONV_MODE) ==
                   CUDNN_CROSS_CORRELATION
               ? CUDNN_STATUS_SUCCESS
               : CUDNN_STATUS_NOT_SUPPORTED;
}

cudnnStatus_t check_plan(descriptor *d)
{
    const descriptor *config = part(*d, CUDNN_ATTR_EXECUTION_PLAN_ENGINE_CONFIG);

    if (!config || config->type != CFG || config->plan >= plans.size())
        return CUDNN_STATUS_BAD_PARAM;
    if (may_wait() != cudaSuccess) // kernels are loaded
        return CUDNN_STATUS_EXECUTION_FAILED;
    d->plan = config->plan;
    d->of = config->of;
    return static_cast<cudnnStatus_t>(plans[d->plan].refused);
}

cudnnStatus_t check_pack(const descriptor &d)
{
    return how_many(d, CUDNN_ATTR_VARIANT_PACK_UNIQUE_IDS) ==
                   how_many(d, CUDNN_ATTR_VARIANT_PACK_DATA_POINTERS)
               ? CUDNN_STATUS_SUCCESS
               : CUDNN_STATUS_BAD_PARAM;
}

cudnnStatus_t finalize(descriptor *d)
{
    program p;

    for (const rule &r : rules)
        if (r.of == d->type && r.needed && !d->has.count(r.name))
            return CUDNN_STATUS_BAD_PARAM;
    switch (d->type) {
    case TENSOR:
        return check_tensor(*d);
    case CONV:
        return check_convolution(*d);
    case GRAPH:
        return read_graph(*d, &p);
    case PLAN:
        return check_plan(d);
    case PACK:
        return check_pack(*d);
    default:
        return CUDNN_STATUS_SUCCESS;
    }
}

// ---- asking -------------------------------------------------------------------------------------

// Fills as many of the caller's configs as there are plans.
cudnnStatus_t propose(const descriptor &heur, int64_t most, int64_t *n, void *to)
{
    const bool fallback = at<cudnnBackendHeurMode_t>(heur, CUDNN_ATTR_ENGINEHEUR_MODE) ==
                          CUDNN_HEUR_MODE_FALLBACK;
    descriptor *graph = part(heur, CUDNN_ATTR_ENGINEHEUR_OPERATION_GRAPH);
    const bool fused = how_many(*graph, CUDNN_ATTR_OPERATIONGRAPH_OPS) > 1;

    *n = 0;
    for (size_t k = 0; k < plans.size() && *n < most; k++) {
        if (plans[k].fallback != fallback || plans[k].fused_only != fused)
            continue;
        descriptor *config = descriptor_of(static_cast<cudnnBackendDescriptor_t *>(to)[*n],
                                           "CUDNN_ATTR_ENGINEHEUR_RESULTS");

        if (!config || config->type != CFG)
            return CUDNN_STATUS_BAD_PARAM;
        config->done = true;
        config->plan = k;
        config->of = graph;
        ++*n;
    }
    return CUDNN_STATUS_SUCCESS;
}

cudnnStatus_t note(int one_more, int64_t most, int64_t *n, void *to)
{
    const int v = one_more - 1;

    *n = one_more ? 1 : 0;
    if (one_more && most > 0)
        memcpy(to, &v, sizeof v);
    return CUDNN_STATUS_SUCCESS;
}

cudnnStatus_t ask(const descriptor &d, attribute name, element type, int64_t most, int64_t *n,
                  void *to)
{
    if (d.type == HEUR && name == CUDNN_ATTR_ENGINEHEUR_RESULTS && type == DESC)
        return propose(d, most, n, to);
    if (d.type == CFG && name == CUDNN_ATTR_ENGINECFG_ENGINE && type == DESC && most == 1) {
        descriptor *engine = descriptor_of(*static_cast<cudnnBackendDescriptor_t *>(to), "engine");

        if (!engine || engine->type != ENGINE)
            return CUDNN_STATUS_BAD_PARAM;
        engine->done = true;
        engine->plan = d.plan;
        *n = 1;
        return CUDNN_STATUS_SUCCESS;
    }
    if (d.type == ENGINE && name == CUDNN_ATTR_ENGINE_NUMERICAL_NOTE &&
        type == CUDNN_TYPE_NUMERICAL_NOTE)
        return note(plans[d.plan].number_note, most, n, to);
    if (d.type == ENGINE && name == CUDNN_ATTR_ENGINE_BEHAVIOR_NOTE &&
        type == CUDNN_TYPE_BEHAVIOR_NOTE)
        return note(plans[d.plan].behaviour_note, most, n, to);
    if (d.type == PLAN && name == CUDNN_ATTR_EXECUTION_PLAN_WORKSPACE_SIZE && type == I64 &&
        most == 1) {
        const int64_t bytes = static_cast<int64_t>(plans[d.plan].bytes);

        memcpy(to, &bytes, sizeof bytes);
        *n = 1;
        return CUDNN_STATUS_SUCCESS;
    }
    wrong("cudnnBackendGetAttribute: %d of a descriptor of type %d", name, d.type);
    return CUDNN_STATUS_BAD_PARAM;
}

// ---- running ------------------------------------------------------------------------------------

struct arrays {
    const void *x, *w, *y, *bias;
};

// The pack's array for a tensor, which must be aligned as promised and all there.
bool find(const descriptor &pack, const descriptor *tensor, const void **to)
{
    const auto id = at<int64_t>(*tensor, CUDNN_ATTR_TENSOR_UNIQUE_ID);

    for (size_t i = 0; i < how_many(pack, CUDNN_ATTR_VARIANT_PACK_UNIQUE_IDS); i++) {
        if (at<int64_t>(pack, CUDNN_ATTR_VARIANT_PACK_UNIQUE_IDS, i) != id)
            continue;
        *to = at<void *>(pack, CUDNN_ATTR_VARIANT_PACK_DATA_POINTERS, i);
        if (reinterpret_cast<uintptr_t>(*to) %
            static_cast<uintptr_t>(at<int64_t>(*tensor, CUDNN_ATTR_TENSOR_BYTE_ALIGNMENT))) {
            wrong("cudnnBackendExecute: an array is not aligned as its tensor says");
            return false;
        }
        return there(tensor_of(*tensor), *to, "cudnnBackendExecute");
    }
    wrong("cudnnBackendExecute: no array for a tensor");
    return false;
}

// Sums are rounded once, after bias and ReLU.
void execute(const program &p, const cudnnTensorStruct &bias, const arrays &a, bool wrongly)
{
    const void *const first = p.d == DATA ? a.w : a.x, *const second = p.d == FORWARD ? a.w : a.y;
    const cudnnTensorStruct &to = p.written();
    std::vector<double> v = products(p.s, p.d, first, second);

    for (size_t i = 0; p.bias && i < v.size(); i++)
        v[i] += static_cast<double>(get(a.bias, bias.type, bias.sc * (i / (to.h * to.w) % to.c)));
    for (size_t i = 0; p.relu && i < v.size(); i++)
        v[i] = std::max(v[i], 0.0);
    if (wrongly)
        std::rotate(v.begin(), v.begin() + v.size() / 2, v.end());
    scatter(to, v, 1.0f, 0.0f,
            const_cast<void *>(p.d == FORWARD ? a.y : p.d == DATA ? a.x : a.w));
}

cudnnStatus_t run(cudnnHandle_t handle, const descriptor &plan, const descriptor &pack)
{
    const ot_fake_plan how = plans[plan.plan];
    void *const room = at<void *>(pack, CUDNN_ATTR_VARIANT_PACK_WORKSPACE);
    program p;
    arrays a = {};

    if (!known_descriptors.count(plan.of) || read_graph(*plan.of, &p) != CUDNN_STATUS_SUCCESS) {
        wrong("cudnnBackendExecute: the plan's graph is gone");
        return CUDNN_STATUS_BAD_PARAM;
    }
    if (!find(pack, p.x, &a.x) || !find(pack, p.w, &a.w) || !find(pack, p.y, &a.y) ||
        (p.bias && !find(pack, p.bias, &a.bias)))
        return CUDNN_STATUS_BAD_PARAM;
    if (how.bytes && !on_device(room, how.bytes)) {
        wrong("cudnnBackendExecute: the workspace is not all on the device");
        return CUDNN_STATUS_BAD_PARAM;
    }
    if (how.failed)
        return static_cast<cudnnStatus_t>(how.failed);
    runs[plan.plan]++;
    loads(handle->stream, "cudnnBackendExecute", "plan" + std::to_string(plan.plan) + " of " +
                                                     std::to_string(p.d));
    const cudnnTensorStruct bias = p.bias ? tensor_of(*p.bias) : cudnnTensorStruct();

    return put(
               handle->stream, "cudnnBackendExecute",
               [=] {
                   scribble(room, how.bytes);
                   execute(p, bias, a, how.wrong);
               },
               how.cost) == cudaSuccess
               ? CUDNN_STATUS_SUCCESS
               : CUDNN_STATUS_EXECUTION_FAILED;
}

} // namespace

extern "C" {

void ot_fake_plans(const struct ot_fake_plan *list, unsigned n)
{
    plans = list ? std::vector<ot_fake_plan>(list, list + n) : usual;
    runs.assign(plans.size(), 0);
}

unsigned ot_fake_plan_runs(unsigned k)
{
    return k < runs.size() ? runs[k] : 0;
}

cudnnStatus_t cudnnBackendCreateDescriptor(cudnnBackendDescriptorType_t type,
                                           cudnnBackendDescriptor_t *d)
{
    OT_DNN(cudnnBackendCreateDescriptor);
    descriptor *made = new descriptor();

    made->type = type;
    known_descriptors.insert(made);
    alive(1);
    *d = made;
    return CUDNN_STATUS_SUCCESS;
}

cudnnStatus_t cudnnBackendDestroyDescriptor(cudnnBackendDescriptor_t p)
{
    call here("cudnnBackendDestroyDescriptor");
    descriptor *d = descriptor_of(p, "cudnnBackendDestroyDescriptor");

    if (!d)
        return CUDNN_STATUS_BAD_PARAM;
    known_descriptors.erase(d);
    alive(-1);
    delete d;
    return static_cast<cudnnStatus_t>(here.injected);
}

cudnnStatus_t cudnnBackendSetAttribute(cudnnBackendDescriptor_t p, cudnnBackendAttributeName_t name,
                                       cudnnBackendAttributeType_t type, int64_t n, const void *v)
{
    OT_DNN(cudnnBackendSetAttribute);
    descriptor *d = descriptor_of(p, "cudnnBackendSetAttribute");

    if (!d || d->done || n < 0 || (n && !v))
        return CUDNN_STATUS_BAD_PARAM;
    for (const rule &r : rules) {
        const char *bytes = static_cast<const char *>(v);

        if (r.of != d->type || r.name != name)
            continue;
        if (r.type != type || static_cast<size_t>(n) < r.least || static_cast<size_t>(n) > r.most)
            break;
        d->has[name] = { type, std::vector<char>(bytes, bytes + static_cast<size_t>(n) *
                                                                    size_of(type)) };
        for (size_t i = 0; type == DESC && i < static_cast<size_t>(n); i++)
            if (!part(*d, name, i) || !part(*d, name, i)->done)
                return CUDNN_STATUS_BAD_PARAM;
        return CUDNN_STATUS_SUCCESS;
    }
    wrong("cudnnBackendSetAttribute: %lld of %d in a descriptor of type %d",
          static_cast<long long>(n), name, d->type);
    return CUDNN_STATUS_BAD_PARAM;
}

cudnnStatus_t cudnnBackendFinalize(cudnnBackendDescriptor_t p)
{
    OT_DNN(cudnnBackendFinalize);
    descriptor *d = descriptor_of(p, "cudnnBackendFinalize");
    const cudnnStatus_t s = d && !d->done ? finalize(d) : CUDNN_STATUS_BAD_PARAM;

    if (s == CUDNN_STATUS_SUCCESS)
        d->done = true;
    return s;
}

cudnnStatus_t cudnnBackendGetAttribute(cudnnBackendDescriptor_t const p,
                                       cudnnBackendAttributeName_t name,
                                       cudnnBackendAttributeType_t type, int64_t most, int64_t *n,
                                       void *to)
{
    OT_DNN(cudnnBackendGetAttribute);
    const descriptor *d = descriptor_of(p, "cudnnBackendGetAttribute");

    if (!d || !d->done || !n || (most && !to)) {
        wrong("cudnnBackendGetAttribute: of what is not finalized, or nowhere to put it");
        return CUDNN_STATUS_BAD_PARAM;
    }
    return ask(*d, name, type, most, n, to);
}

cudnnStatus_t cudnnBackendExecute(cudnnHandle_t handle, cudnnBackendDescriptor_t plan,
                                  cudnnBackendDescriptor_t pack)
{
    OT_DNN_WORKS(cudnnBackendExecute, handle);
    const descriptor *a = descriptor_of(plan, "cudnnBackendExecute"),
                     *b = descriptor_of(pack, "cudnnBackendExecute");

    if (!a || !b || !a->done || !b->done || a->type != PLAN || b->type != PACK)
        return CUDNN_STATUS_BAD_PARAM;
    return run(handle, *a, *b);
}

} // extern "C"
