// PyTorch's released caching allocator (libc10.so, libc10_cuda.so) behind plain C functions.
//
// Compiled by `poolproof setup torch` against the headers of one release, which TORCH_MAJOR and TORCH_MINOR name. It decides
// nothing about memory: each function does what PyTorch's Python or libtorch does for the same wish, and says so here.
//
//   pp_prepare              nothing of Python's: what copies of this process would each do, and what nobody asks for
//   pp_open                 CUDAHooks::init (ATen): context hook, allocator, from 2.11 on the table of peers
//   pp_alloc via 0          torch.cuda.caching_allocator_alloc: device exchanged, raw_alloc_with_stream, device restored
//   pp_alloc via 1          torch.empty under torch.cuda.stream: device, current stream, Allocator::allocate
//   pp_alloc_at             MemPool's exact address, Allocator::allocateWithAddress (2.13)
//   pp_free                 torch.cuda.caching_allocator_delete, or the deleter of a tensor's DataPtr
//   pp_record_stream        Tensor.record_stream
//   pp_current_stream       torch.cuda.set_stream
//   pp_empty_cache, _empty_pool   torch.cuda.empty_cache; what ~MemPool does for its own pool (2.8)
//   pp_set_fraction, _get_fraction   torch.cuda.set_per_process_memory_fraction, get_... (2.6)
//   pp_reset_peak, _reset_accumulated   torch.cuda.reset_peak_memory_stats, reset_accumulated_memory_stats
//   pp_stats, pp_snapshot   torch.cuda.memory_stats, torch.cuda.memory._snapshot without traces
//   pp_history, _take_events   what memory._record_memory_history records, by way of an AllocatorTraceTracker
//   pp_settings             torch.cuda.memory._set_allocator_settings, from 2.10 on torch._C._accelerator_setAllocatorSettings
//   pp_enable               torch.cuda.caching_allocator_enable (2.6)
//   pp_pool_create, _destroy   c10::cuda::MemPool (2.5 to 2.9), at::cuda::MemPool written again (2.10), a bare id (2.4)
//   pp_begin_to_pool, _end_to_pool, _release_pool   torch.cuda.use_mem_pool and CUDAGraph; with MemPoolContext 2.5 to 2.7
//   pp_capture_begin, _end  CUDAGraph::capture_begin, capture_end: the allocator's side (2.13)
//   pp_graph_pool_id        torch.cuda.graph_pool_handle
//   pp_reserve_class        setExpandableSegmentReserveClassForStream (2.15)
//
// Every function answers 0 done, 1 c10::OutOfMemoryError, 2 another c10::Error, 3 another std::exception, 4 anything else,
// 5 this release has no such function. pp_message() has the text of the latest failure of this thread. A stream is the
// handle that the runtime gave out, 0 the default stream; PyTorch takes no odd handle.

#include "pools.h"
#include "shim.h"
#include "watch.h"

#include <c10/cuda/CUDADeviceAssertionHost.h>
#include <c10/util/Logging.h>

#include <atomic>
#include <functional>
#include <mutex>
#include <unordered_map>

namespace {

// Deleters other than the caching allocator's own: where caching is off, a tensor's memory has another.
std::mutex deleters_lock;
std::unordered_map<uint64_t, c10::DeleterFnPtr> deleters;
std::atomic<size_t> deleters_kept{0};
c10::DeleterFnPtr usual_deleter = nullptr;

uint64_t keep(c10::DataPtr &&data) {
  const auto deleter = data.get_deleter();
  const auto address = static_cast<uint64_t>(reinterpret_cast<uintptr_t>(data.release_context()));
  if (address != 0 && deleter != usual_deleter) {
    const std::lock_guard<std::mutex> lock(deleters_lock);
    deleters[address] = deleter;
    deleters_kept = deleters.size();
  }
  return address;
}

// Where a tensor's memory came from: PyTorch records streams on its own alone.
c10::DeleterFnPtr deleter_kept(uint64_t address) {
  if (deleters_kept == 0) return usual_deleter;
  const std::lock_guard<std::mutex> lock(deleters_lock);
  const auto found = deleters.find(address);
  return found == deleters.end() ? usual_deleter : found->second;
}

c10::DeleterFnPtr deleter_of(uint64_t address) {
  if (deleters_kept == 0) return usual_deleter;
  const std::lock_guard<std::mutex> lock(deleters_lock);
  const auto found = deleters.find(address);
  if (found == deleters.end()) return usual_deleter;
  const auto deleter = found->second;
  deleters.erase(found);
  deleters_kept = deleters.size();
  return deleter;
}

} // namespace

EXPORT const char *pp_message() { return message.c_str(); }

// Once a process, before it is copied. An exception's backtrace is a third of what throwing it costs, and messages are asked
// for without; torch itself puts Python's in its place. The registry of kernels is 100 KB that the first call of CUDA fills.
EXPORT int pp_prepare() {
  return guarded([] {
    c10::SetStackTraceFetcher(std::function<std::string()>([] { return std::string(); }));
    c10::cuda::CUDAKernelLaunchRegistry::get_singleton_ref();
    return DONE;
  });
}

EXPORT int pp_open(int devices) {
  return guarded([&] {
    // Every device counts as one with a context: what is restored is then really set.
    c10::cuda::_internal::setHasPrimaryContext([](DeviceIndex) { return true; });
    allocator::init(devices);
#if SINCE(11)
    c10::cuda::detail::init_p2p_access_cache(devices);
#endif
    usual_deleter = allocator::get()->raw_deleter();
    return DONE;
  });
}

EXPORT int pp_alloc(int device, uint64_t stream, int via, uint64_t bytes, uint64_t *address) {
  return guarded([&] {
    OnDevice on(static_cast<DeviceIndex>(device));
    if (via == 0) {
      *address = static_cast<uint64_t>(number(allocator::raw_alloc_with_stream(bytes, raw(stream))));
    } else {
      const OnStream current(stream_of(static_cast<DeviceIndex>(device), stream));
      *address = keep(allocator::get()->allocate(bytes));
    }
    on.leave();
    return DONE;
  });
}

// From 2.13 on: a free block that contains the wanted address, or a refusal.
EXPORT int pp_alloc_at(int device, uint64_t stream, uint64_t bytes, uint64_t wanted, uint64_t *address) {
#if SINCE(13)
  return guarded([&] {
    OnDevice on(static_cast<DeviceIndex>(device));
    {
      const OnStream current(stream_of(static_cast<DeviceIndex>(device), stream));
      *address = keep(allocator::allocateWithAddress(bytes, pointer(wanted)));
    }
    on.leave();
    return DONE;
  });
#else
  (void)device, (void)stream, (void)bytes, (void)wanted, (void)address;
  return lacking();
#endif
}

EXPORT int pp_free(uint64_t address, int via) {
  return guarded([&] {
    if (via == 0) {
      allocator::raw_delete(pointer(address));
    } else if (address != 0) {
      deleter_of(address)(pointer(address));
    }
    return DONE;
  });
}

// torch.cuda.set_stream: a capture runs with its stream as the thread's current one, and 2.13 and later ask for that.
EXPORT int pp_current_stream(int device, uint64_t stream) {
  return guarded([&] {
    c10::cuda::setCurrentCUDAStream(stream_of(static_cast<DeviceIndex>(device), stream));
    return DONE;
  });
}

EXPORT int pp_record_stream(uint64_t address, int device, uint64_t stream) {
  return guarded([&] {
    c10::DataPtr data(pointer(address), pointer(address), deleter_kept(address),
                      c10::Device(c10::DeviceType::CUDA, static_cast<DeviceIndex>(device)));
    // Whatever comes of it, the memory stays its owner's.
    struct Release {
      c10::DataPtr &data;
      ~Release() { data.release_context(); }
    } release{data};
    allocator::recordStream(data, stream_of(static_cast<DeviceIndex>(device), stream));
    return DONE;
  });
}

EXPORT int pp_empty_cache() {
  return guarded([] {
    allocator::emptyCache();
    return DONE;
  });
}

// From 2.8 on: the cache of one pool.
EXPORT int pp_empty_pool(const uint64_t id[2]) {
#if SINCE(8)
  return guarded([&] {
    allocator::emptyCache(pool_id(id));
    return DONE;
  });
#else
  (void)id;
  return lacking();
#endif
}

EXPORT int pp_set_fraction(int device, double fraction) {
  return guarded([&] {
    allocator::setMemoryFraction(fraction, static_cast<DeviceIndex>(device));
    return DONE;
  });
}

EXPORT int pp_get_fraction(int device, double *fraction) {
#if SINCE(6)
  return guarded([&] {
    *fraction = allocator::getMemoryFraction(static_cast<DeviceIndex>(device));
    return DONE;
  });
#else
  (void)device, (void)fraction;
  return lacking();
#endif
}

EXPORT int pp_reset_peak(int device) {
  return guarded([&] {
    allocator::resetPeakStats(static_cast<DeviceIndex>(device));
    return DONE;
  });
}

EXPORT int pp_reset_accumulated(int device) {
  return guarded([&] {
    allocator::resetAccumulatedStats(static_cast<DeviceIndex>(device));
    return DONE;
  });
}

EXPORT int pp_settings(const char *text) {
  return guarded([&] {
#if SINCE(10)
    c10::CachingAllocator::setAllocatorSettings(text);
#else
    allocator::setAllocatorSettings(text);
#endif
    return DONE;
  });
}

EXPORT int pp_enable(int on) {
#if SINCE(6)
  return guarded([&] {
    allocator::enable(on != 0);
    return DONE;
  });
#else
  (void)on;
  return lacking();
#endif
}

// From 2.15 on; an empty class takes the tag away.
EXPORT int pp_reserve_class(uint64_t stream, const char *name) {
#if SINCE(15)
  return guarded([&] {
    allocator::setExpandableSegmentReserveClassForStream(raw(stream), name);
    return DONE;
  });
#else
  (void)stream, (void)name;
  return lacking();
#endif
}
