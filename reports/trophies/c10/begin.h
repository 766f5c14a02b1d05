// Starts c10's allocator without libtorch, and tells the release and the verdict: exit 1 while the defect is there.
#pragma once
#include <c10/cuda/CUDAAllocatorConfig.h>
#include <c10/cuda/CUDACachingAllocator.h>
#include <c10/cuda/CUDAFunctions.h>
#include <c10/cuda/CUDAStream.h>
#include <cstdio>
#include <cstdlib>
#include <string>
#define SINCE(minor) (TORCH >= (minor))  // -DTORCH=11 for 2.11
#if SINCE(9)
#include <c10/core/AllocatorConfig.h>
#endif

namespace c10::cuda::_internal {
C10_CUDA_API void setHasPrimaryContext(bool (*)(c10::DeviceIndex));
}
namespace c10::cuda::detail {
C10_CUDA_API void init_p2p_access_cache(int64_t);
}
// Of standin.c
extern "C" {
void standin_fail(const char *call, int nth, int error);
void standin_busy(int device, void *stream);
int standin_is_busy(int device, void *stream);
void standin_captures(int device, void *stream, int on);
int standin_unmapped_under_work();
size_t standin_used(int device);
void standin_total(int device, size_t bytes);  // before begin
}

namespace a = c10::cuda::CUDACachingAllocator;
using Pool = c10::cuda::MempoolId_t;
constexpr size_t MIB = 1 << 20;

inline void begin(const char *settings = nullptr) {
  if (settings != nullptr) setenv("PYTORCH_CUDA_ALLOC_CONF", settings, 1);
  c10::cuda::_internal::setHasPrimaryContext([](c10::DeviceIndex) { return true; });
  a::init(c10::cuda::device_count());
#if SINCE(11)
  c10::cuda::detail::init_p2p_access_cache(c10::cuda::device_count());
#endif
}

// What an action ends in: "done", or the first line of what it throws.
template <class Action> std::string outcome(Action action) {
  try {
    action();
    return "done";
  } catch (const c10::Error &error) {
    const std::string text = error.what_without_backtrace();
    return text.substr(0, text.find('\n'));
  } catch (const std::exception &error) {
    return error.what();
  }
}

inline void settings(const char *text) {
#if SINCE(10)
  c10::CachingAllocator::setAllocatorSettings(text);
#else
  a::setAllocatorSettings(text);
#endif
}

inline int64_t reserved(int device = 0) { return a::getDeviceStats(device).reserved_bytes[0].current; }
inline int64_t allocated(int device = 0) { return a::getDeviceStats(device).allocated_bytes[0].current; }

inline int verdict(const std::string &expected, const std::string &actual, bool wrong) {
  std::printf("torch 2.%d\nexpected: %s\nactual:   %s\n", TORCH, expected.c_str(), actual.c_str());
  std::fflush(stdout);
  std::_Exit(wrong ? 1 : 0);  // the allocator's own end is not the point
}

inline void record(void *block, c10::cuda::CUDAStream stream) {  // Tensor.record_stream
  c10::DataPtr data(block, block, a::get()->raw_deleter(), c10::Device(c10::kCUDA, stream.device_index()));
  a::recordStream(data, stream);
  data.release_context();
}

// What torch.cuda.use_mem_pool and torch.cuda.graph ask of the allocator.
inline void enter(int device, Pool pool) { a::beginAllocateToPool(device, pool, [](cudaStream_t) { return true; }); }
inline void leave(int device, Pool pool) { a::endAllocateToPool(device, pool), a::releasePool(device, pool); }
inline void capture(int device, Pool pool, c10::cuda::CUDAStream stream) {
  standin_captures(device, stream.stream(), 1);
  c10::cuda::setCurrentCUDAStream(stream);
  a::beginAllocateToPool(device, pool, [stream](cudaStream_t asked) { return asked == stream.stream(); });
#if SINCE(13)
  a::markCaptureBegin(device);
#endif
}
inline void capture_ends(int device, Pool pool, c10::cuda::CUDAStream stream) {
  standin_captures(device, stream.stream(), 0);
  c10::cuda::setCurrentCUDAStream(c10::cuda::getDefaultCUDAStream(device));
#if SINCE(13)
  a::markCaptureEnd(device);
#endif
  a::endAllocateToPool(device, pool);
}
