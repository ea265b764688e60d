/* Device memory with guard bytes, streams, events and graphs as queues of closures, and what tests
 * ask. Owns the register of live allocations and the streams. */
#include "cuda_internal.h"

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <deque>
#include <map>
#include <memory>
#include <string>
#include <unistd.h>
#include <vector>
#ifdef __SANITIZE_ADDRESS__
#include <sanitizer/asan_interface.h>
#endif

namespace cuda_host
{

constexpr size_t guard_bytes = 256;

static size_t shared_limit() /* so that kernels for smaller devices can be tested */
{
    const char *limit = getenv("CUDA_HOST_SHARED");
    return limit ? size_t(strtoull(limit, nullptr, 10)) : size_t(227) * 1024;
}

/* Dynamic shared memory that kernels were allowed beyond what each may have. */
constexpr size_t shared_default = 48 * 1024;
static std::map<const void *, size_t> shared_allowed;

static size_t shared_of(const void *kernel)
{
    const auto allowed = shared_allowed.find(kernel);
    return allowed == shared_allowed.end() ? shared_default : allowed->second;
}

/* device memory */
static std::vector<allocation> memory; /* live ones, by address */

static std::vector<allocation>::iterator memory_after(const void *pointer)
{
    return std::upper_bound(
        memory.begin(), memory.end(), pointer,
        [](const void *p, const allocation &a) { return p < static_cast<void *>(a.data); });
}

const allocation *allocation_find(const void *pointer)
{
    auto after = memory_after(pointer);
    if (after == memory.begin()) return nullptr;
    const allocation *a = &*(after - 1);
    return static_cast<const char *>(pointer) < a->data + a->bytes ? a : nullptr;
}

static size_t guard_after(const allocation &a)
{
    return guard_bytes + (guard_bytes - a.bytes % guard_bytes) % guard_bytes;
}

static void guards_poison(const allocation &a, bool on)
{ /* AddressSanitizer sees touched guards at once */
#ifdef __SANITIZE_ADDRESS__
    (on ? __asan_poison_memory_region : __asan_unpoison_memory_region)(a.data - guard_bytes,
                                                                       guard_bytes);
    (on ? __asan_poison_memory_region : __asan_unpoison_memory_region)(a.data + a.bytes,
                                                                       guard_after(a));
#else
    (void)a, (void)on;
#endif
}

static bool guard_check(const allocation &a)
{
    static const std::string whole(2 * guard_bytes, '\xa5');
    const char *before = a.data - guard_bytes, *after = a.data + a.bytes, *bad = nullptr;
    if (!memcmp(before, whole.data(), guard_bytes) && !memcmp(after, whole.data(), guard_after(a)))
        return true;
    guards_poison(a, false);
    for (const char *p = before; p < after + guard_after(a) && !bad; p++) {
        if (p == a.data) p = after;
        if (*p != '\xa5') bad = p;
    }
    if (bad) {
        misuse(cudaErrorLaunchFailure, "written outside an allocation of %zu bytes, at byte %td",
               a.bytes, bad - a.data);
        memset(a.data - guard_bytes, 0xa5, guard_bytes); /* say it once */
        memset(a.data + a.bytes, 0xa5, guard_after(a));
    }
    guards_poison(a, true);
    return !bad;
}

void guards_check()
{
    for (const allocation &a : memory) guard_check(a);
}

bool check_argument(const call &of, int index, const void *pointer)
{
    if (!pointer || allocation_find(pointer)) return true;
    misuse(
        cudaErrorLaunchFailure,
        "%s:%d: %s: argument %d is not a device pointer (host memory, freed, or past its end): %p",
        of.file, of.line, of.name, index + 1, pointer);
    return false;
}

/* Names and numbers of launches, added to a file when the program ends: the suite asks whether
 * every kernel was ever run. */
struct launch_counts {
    std::map<std::string, uint64_t> of;
    ~launch_counts()
    {
        const char *path = getenv("CUDA_HOST_LAUNCHES");
        FILE *file = path && !of.empty() ? fopen(path, "a") : nullptr;
        if (!file) return;
        for (const auto &[name, count] : of)
            fprintf(file, "%s %llu\n", name.c_str(), static_cast<unsigned long long>(count));
        fclose(file);
    }
};
static launch_counts counts;

void launch_count(const char *name)
{
    counts.of[name]++;
}

/* streams */
using work = std::function<void(CUstream_st *)>; /* called with the stream it runs on */
} /* namespace cuda_host */
using namespace cuda_host;

struct CUgraph_st {
    std::vector<work> nodes;
};
static order default_order() /* read again for each stream: a test's queues differ in it */
{
    return order_named(getenv("CUDA_HOST_ORDER"));
}

/* Work, or something that other processes take part in: true once it is done. */
struct queued {
    work run;
    std::function<bool()> poll;
};
struct CUstream_st {
    std::deque<queued> queue;    /* lazy: not done yet; else what stands behind a poll */
    CUgraph_st *graph = nullptr; /* being captured */
    order launches = default_order();
};
struct CUevent_st {
    CUstream_st *stream = nullptr;
    CUgraph_st *graph = nullptr;
    uint64_t recorded = 0, reached = 0;
    std::chrono::steady_clock::time_point time;
};
static CUstream_st default_stream;
static std::vector<CUstream_st *> streams = {&default_stream};

static bool lazy()
{
    static const char *mode = getenv("CUDA_HOST_STREAMS");
    return mode && !strcmp(mode, "lazy");
}

/* Does what stands first; false where that waits for another process. */
static bool step(CUstream_st *stream)
{
    device_access open;
    if (stream->queue.front().poll) {
        if (!stream->queue.front().poll()) return false;
        stream->queue.pop_front();
        return true;
    }
    work first = std::move(stream->queue.front().run);
    stream->queue.pop_front();
    first(stream);
    return true;
}

/* As far as it goes without waiting. */
static void progress(CUstream_st *stream)
{
    while (!stream->queue.empty() && step(stream)) continue;
}

static void drain(CUstream_st *stream)
{
    while (!stream->queue.empty())
        if (!step(stream)) usleep(100); /* as long as the other process takes: for ever, maybe */
}

static cudaError_t enqueue(CUstream_st *stream, work item)
{
    if (!stream) stream = &default_stream;
    if (stream->graph) {
        stream->graph->nodes.push_back(std::move(item));
    } else if (lazy() || !stream->queue.empty()) {
        if (stream == &default_stream) /* the default stream waits for the others */
            for (CUstream_st *s : streams) drain(s);
        stream->queue.push_back({std::move(item), nullptr});
        if (!lazy()) progress(stream);
    } else {
        device_access open;
        item(stream);
    }
    return state.error;
}

cudaError_t cuda_host::stream_poll(cudaStream_t stream, std::function<bool()> poll)
{
    if (stream->graph)
        return misuse(cudaErrorStreamCaptureUnsupported, "a collective call in a captured stream");
    stream->queue.push_back({nullptr, std::move(poll)});
    if (!lazy()) progress(stream);
    return state.error;
}

cudaError_t cuda_host::launch(call *owned, cudaStream_t stream)
{
    std::shared_ptr<const call> c(owned);
    size_t threads = size_t(c->block.x) * c->block.y * c->block.z,
           blocks = size_t(c->grid.x) * c->grid.y * c->grid.z;
    if (state.error) return state.error;
    if (!threads || !blocks || threads > max_threads || c->block.z > 64 || c->grid.y > 65535 ||
        c->grid.z > 65535 || c->shared > shared_limit() || c->shared > shared_of(c->address))
        return misuse(cudaErrorInvalidConfiguration,
                      "%s:%d: %s: grid (%u,%u,%u), block (%u,%u,%u), %zu bytes shared (allowed "
                      "%zu) cannot be "
                      "launched",
                      c->file, c->line, c->name, c->grid.x, c->grid.y, c->grid.z, c->block.x,
                      c->block.y, c->block.z, c->shared, shared_of(c->address));
    if (!c->pointers_are_device()) return state.error;
    return enqueue(stream, [c](CUstream_st *on) { blocks_run(c.get(), &on->launches); });
}

cudaError_t cudaFuncGetAttributes(cudaFuncAttributes *attributes, const void *)
{
    return *attributes = {0}, state.error;
}
cudaError_t cudaFuncSetAttribute(const void *kernel, cudaFuncAttribute, int value)
{
    if (value < 0 || size_t(value) > shared_limit()) return cudaErrorInvalidValue;
    return shared_allowed[kernel] = size_t(value), state.error;
}

cudaError_t cudaStreamCreate(cudaStream_t *stream)
{
    streams.push_back(*stream = new CUstream_st);
    return state.error;
}
cudaError_t cudaStreamCreateWithFlags(cudaStream_t *stream, unsigned)
{
    return cudaStreamCreate(stream);
}
cudaError_t cudaStreamDestroy(cudaStream_t stream)
{
    drain(stream);
    streams.erase(std::find(streams.begin(), streams.end(), stream));
    delete stream;
    return state.error;
}
cudaError_t cudaStreamSynchronize(cudaStream_t stream)
{
    if (!stream) return cudaDeviceSynchronize();
    if (stream->graph)
        return misuse(cudaErrorStreamCaptureUnsupported,
                      "cudaStreamSynchronize while the stream is captured");
    drain(stream);
    return state.error;
}
cudaError_t cudaDeviceSynchronize(void)
{
    for (CUstream_st *s : streams) {
        if (s->graph)
            return misuse(
                cudaErrorStreamCaptureUnsupported,
                "cudaDeviceSynchronize (or another call that waits) while a stream is captured");
        drain(s);
    }
    return state.error;
}
cudaError_t cudaStreamBeginCapture(cudaStream_t stream, cudaStreamCaptureMode)
{
    if (!stream || stream->graph)
        return misuse(cudaErrorStreamCaptureUnsupported, "cudaStreamBeginCapture: %s",
                      stream ? "captured already" : "the default stream");
    stream->graph = new CUgraph_st;
    return state.error;
}
cudaError_t cudaStreamEndCapture(cudaStream_t stream, cudaGraph_t *graph)
{
    if (!(*graph = stream->graph))
        return misuse(cudaErrorInvalidValue, "cudaStreamEndCapture: nothing is captured");
    for (CUstream_st *s : streams)
        if (s->graph == *graph) s->graph = nullptr;
    return state.error;
}
cudaError_t cudaGraphInstantiate(cudaGraphExec_t *exec, cudaGraph_t graph, unsigned long long)
{
    *exec = new CUgraph_st(*graph);
    return state.error;
}
cudaError_t cudaGraphUpload(cudaGraphExec_t, cudaStream_t stream)
{
    if (stream->graph)
        return misuse(cudaErrorStreamCaptureUnsupported, "cudaGraphUpload into a captured stream");
    return state.error;
}
cudaError_t cudaGraphLaunch(cudaGraphExec_t exec, cudaStream_t stream)
{
    for (const work &node : exec->nodes) enqueue(stream, node);
    return state.error;
}
cudaError_t cudaGraphDestroy(cudaGraph_t graph)
{
    return delete graph, state.error;
}
cudaError_t cudaGraphExecDestroy(cudaGraphExec_t exec)
{
    return delete exec, state.error;
}

cudaError_t cudaEventCreate(cudaEvent_t *event)
{
    return *event = new CUevent_st, state.error;
}
cudaError_t cudaEventCreateWithFlags(cudaEvent_t *event, unsigned)
{
    return cudaEventCreate(event);
}
cudaError_t cudaEventDestroy(cudaEvent_t event)
{
    return delete event, state.error;
}
cudaError_t cudaEventRecord(cudaEvent_t event, cudaStream_t stream)
{
    event->stream = stream ? stream : &default_stream;
    if ((event->graph = event->stream->graph)) return state.error; /* an edge of the graph */
    uint64_t ticket = ++event->recorded;
    return enqueue(stream, [event, ticket](CUstream_st *) {
        event->reached = ticket, event->time = std::chrono::steady_clock::now();
    });
}
/* External: captured, it becomes a node that records the event at each launch. */
cudaError_t cudaEventRecordWithFlags(cudaEvent_t event, cudaStream_t stream, unsigned flags)
{
    if (flags != cudaEventRecordExternal || !stream->graph) return cudaEventRecord(event, stream);
    return enqueue(stream,
                   [event](CUstream_st *) { event->time = std::chrono::steady_clock::now(); });
}
static void event_await(cudaEvent_t event, uint64_t ticket)
{
    while (event->reached < ticket && !event->stream->queue.empty())
        if (!step(event->stream)) usleep(100);
}
/* A device works on by itself: who asks again and again sees it arrive. */
cudaError_t cudaEventQuery(cudaEvent_t event)
{
    while (event->reached < event->recorded && !event->stream->queue.empty())
        if (!step(event->stream)) break;
    return event->reached < event->recorded ? cudaErrorNotReady : state.error;
}
cudaError_t cudaEventSynchronize(cudaEvent_t event)
{
    return event_await(event, event->recorded), state.error;
}
cudaError_t cudaStreamWaitEvent(cudaStream_t stream, cudaEvent_t event, unsigned)
{
    if (event->graph)
        return stream->graph = event->graph, state.error; /* the stream joins the capture */
    uint64_t ticket = event->recorded;
    return enqueue(stream, [event, ticket](CUstream_st *) { event_await(event, ticket); });
}
cudaError_t cudaEventElapsedTime(float *milliseconds, cudaEvent_t start, cudaEvent_t stop)
{
    *milliseconds = std::chrono::duration<float, std::milli>(stop->time - start->time).count();
    return state.error;
}

/* memory calls */
static std::map<const char *, size_t> pinned; /* of cudaMallocHost */

static bool is_pinned(const void *host)
{
    const char *p = static_cast<const char *>(host);
    auto after = pinned.upper_bound(p);
    return after != pinned.begin() && std::prev(after)->first + std::prev(after)->second > p;
}

static size_t memory_limit() /* so that running out of it can be tested */
{
    const char *limit = getenv("CUDA_HOST_MEMORY");
    return limit ? size_t(strtoull(limit, nullptr, 10)) : size_t(1) << 36;
}

static size_t memory_used()
{
    size_t sum = 0;
    for (const allocation &a : memory) sum += a.bytes;
    return sum;
}

cudaError_t cudaMemGetInfo(size_t *free_bytes, size_t *total)
{
    size_t used = memory_used();
    *total = memory_limit();
    *free_bytes = used < *total ? *total - used : 0;
    return state.error;
}

static bool capturing(const char *name)
{
    for (CUstream_st *s : streams)
        if (s->graph)
            return misuse(cudaErrorStreamCaptureUnsupported, "%s while a stream is captured", name),
                   true;
    return false;
}

cudaError_t cudaMallocBytes(void **pointer, size_t bytes)
{
    *pointer = nullptr;
    if (state.error || capturing("cudaMalloc")) return state.error;
    if (!bytes) return cudaSuccess;
    if (bytes > memory_limit() - std::min(memory_limit(), memory_used()))
        return cudaErrorMemoryAllocation;
    allocation a = {nullptr, bytes, check_cells_create(bytes)};
    size_t total = guard_bytes + bytes + guard_after(a);
    char *base = region_allocate(total);
    if (!base) return cudaErrorMemoryAllocation;
    device_access open;
    memset(base, 0xa5, total);
    a.data = base + guard_bytes;
    memset(a.data, 0xff, bytes);
    memory.insert(memory_after(a.data), a);
    guards_poison(a, true);
    *pointer = a.data;
    return cudaSuccess;
}
cudaError_t cudaFree(void *pointer)
{
    if (!pointer) return state.error;
    if (capturing("cudaFree")) return state.error;
    for (CUstream_st *s : streams) drain(s); /* it waits for the device */
    auto after = memory_after(pointer);
    if (after == memory.begin() || (after - 1)->data != pointer)
        return misuse(cudaErrorInvalidValue, "cudaFree(%p): not from cudaMalloc, or freed before",
                      pointer);
    allocation a = *(after - 1);
    device_access open;
    guard_check(a);
    memory.erase(after - 1);
    guards_poison(a, false);
    check_cells_destroy(a.cells);
    memset(a.data, 0xff, a.bytes);
    region_free(a.data - guard_bytes, guard_bytes + a.bytes + guard_after(a));
    return state.error;
}
cudaError_t cudaFreeAsync(void *pointer, cudaStream_t)
{
    return cudaFree(pointer);
}
cudaError_t cudaMallocHostBytes(void **pointer, size_t bytes)
{
    if (!(*pointer = malloc(bytes))) return cudaErrorMemoryAllocation;
    pinned[static_cast<char *>(*pointer)] = bytes;
    return memset(*pointer, 0xff, bytes), state.error;
}
cudaError_t cudaFreeHost(void *pointer)
{
    for (CUstream_st *s : streams) drain(s);
    pinned.erase(static_cast<char *>(pointer));
    return free(pointer), state.error;
}

static bool range_is(const char *call, const void *pointer, size_t bytes, bool device)
{
    const allocation *a = allocation_find(pointer);
    if (device ? a && size_t(static_cast<const char *>(pointer) - a->data) + bytes <= a->bytes : !a)
        return true;
    misuse(cudaErrorInvalidValue, "%s: %p, %zu bytes: %s", call, pointer, bytes,
           !device ? "device memory where host memory is due"
           : a     ? "past the end of the allocation"
                   : "not device memory");
    return false;
}
bool cuda_host::range_is_device(const char *call, const void *pointer, size_t bytes)
{
    return range_is(call, pointer, bytes, true);
}
cudaError_t cudaMemcpyAsync(void *to, const void *from, size_t bytes, cudaMemcpyKind kind,
                            cudaStream_t stream)
{
    if (state.error || !bytes) return state.error;
    bool to_device = kind == cudaMemcpyDefault
                         ? allocation_find(to) != nullptr
                         : kind == cudaMemcpyHostToDevice || kind == cudaMemcpyDeviceToDevice;
    bool from_device = kind == cudaMemcpyDefault
                           ? allocation_find(from) != nullptr
                           : kind == cudaMemcpyDeviceToHost || kind == cudaMemcpyDeviceToDevice;
    if (!range_is("cudaMemcpy to", to, bytes, to_device) ||
        !range_is("cudaMemcpy from", from, bytes, from_device))
        return state.error;
    /* Pageable memory is read before the call returns, as CUDA does; pinned memory when its turn
     * comes. */
    if (to_device && !from_device && !is_pinned(from)) {
        const char *bytes_of = static_cast<const char *>(from);
        auto kept = std::make_shared<std::vector<char>>(bytes_of, bytes_of + bytes);
        return enqueue(stream, [=](CUstream_st *) {
            memcpy(to, kept->data(), bytes);
            check_written(to, nullptr, bytes);
        });
    }
    return enqueue(stream, [=](CUstream_st *) {
        memmove(to, from, bytes);
        check_written(to, from, bytes);
    });
}
cudaError_t cudaMemcpy(void *to, const void *from, size_t bytes, cudaMemcpyKind kind)
{
    if (capturing("cudaMemcpy")) return state.error;
    cudaMemcpyAsync(to, from, bytes, kind, nullptr);
    return cudaDeviceSynchronize();
}
cudaError_t cudaMemsetAsync(void *to, int value, size_t bytes, cudaStream_t stream)
{
    if (state.error || !bytes || !range_is("cudaMemset", to, bytes, true)) return state.error;
    return enqueue(stream, [=](CUstream_st *) {
        memset(to, value, bytes);
        check_written(to, nullptr, bytes);
    });
}
cudaError_t cudaMemset(void *to, int value, size_t bytes)
{
    if (capturing("cudaMemset")) return state.error;
    return cudaMemsetAsync(to, value, bytes, nullptr);
}

const char *cudaGetErrorString(cudaError_t error)
{
    return error == cudaSuccess                       ? "no error"
           : error == state.error && state.message[0] ? state.message
                                                      : "CUDA error";
}
cudaError_t cudaGetLastError(void)
{
    return state.error;
} /* faults stay, as a broken context does */
cudaError_t cudaPeekAtLastError(void)
{
    return state.error;
}
/* Devices are names alone: each process has memory of its own, of whichever it chose. */
static int devices()
{
    const char *asked = getenv("CUDA_HOST_DEVICES");
    return asked && atoi(asked) > 0 ? atoi(asked) : 1;
}
static int device_chosen;

cudaError_t cudaGetDeviceCount(int *count)
{
    return *count = devices(), cudaSuccess;
}
cudaError_t cudaDeviceGetAttribute(int *value, cudaDeviceAttr attribute, int device)
{
    if (device < 0 || attribute != cudaDevAttrMaxSharedMemoryPerBlockOptin)
        return cudaErrorInvalidValue;
    return *value = int(shared_limit()), cudaSuccess;
}
cudaError_t cudaSetDevice(int device)
{
    if (device < 0 || device >= devices()) return cudaErrorInvalidValue;
    return device_chosen = device, cudaSuccess;
}
cudaError_t cudaGetDevice(int *device)
{
    return *device = device_chosen, cudaSuccess;
}
cudaError_t cudaDeviceGetPCIBusId(char *name, int bytes, int device)
{
    if (device < 0 || device >= devices()) return cudaErrorInvalidValue;
    snprintf(name, size_t(bytes), "0000:%02x:00.0", device + 1);
    return cudaSuccess;
}

/* what tests ask */
int cuda_host_faults(void)
{
    device_access open;
    return guards_check(), state.faults;
}
void cuda_host_order(const char *order)
{
    default_stream.launches = order_named(order);
}
const char *cuda_host_fault_message(void)
{
    return state.message;
}
void cuda_host_faults_clear(void)
{
    state = {};
}
bool cuda_host_is_device(const void *pointer, size_t bytes)
{
    const allocation *a = allocation_find(pointer);
    return a && size_t(static_cast<const char *>(pointer) - a->data) + bytes <= a->bytes;
}
size_t cuda_host_allocations(void)
{
    return memory.size();
}
