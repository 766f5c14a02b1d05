// What every part of the shim has: the release, how failures are told, devices and streams as PyTorch's Python sets them.
//
// Decides nothing about memory. Part of shim.cpp, which is one translation unit.

#pragma once

#include <c10/cuda/CUDACachingAllocator.h>
#include <c10/cuda/CUDAFunctions.h>
#include <c10/cuda/CUDAStream.h>

#include <cstdint>
#include <exception>
#include <string>

#if !defined(TORCH_MAJOR) || !defined(TORCH_MINOR)
#error "TORCH_MAJOR and TORCH_MINOR name the release whose headers these are"
#endif
#define SINCE(minor) (TORCH_MAJOR > 2 || (TORCH_MAJOR == 2 && TORCH_MINOR >= (minor)))

#if SINCE(9)
#include <c10/core/AllocatorConfig.h>
#endif
#include <c10/cuda/CUDAAllocatorConfig.h>
#if SINCE(11)
#include <c10/cuda/PeerToPeerAccess.h>
#endif

#define EXPORT extern "C" __attribute__((visibility("default")))

// In no public header; libtorch_cuda, which is not here, installs its own.
namespace c10::cuda::_internal {
C10_CUDA_API void setHasPrimaryContext(bool (*)(c10::DeviceIndex));
}

#if SINCE(11)
namespace c10::cuda::detail {
C10_CUDA_API void init_p2p_access_cache(int64_t num_devices);
}
#endif

namespace {

namespace allocator = c10::cuda::CUDACachingAllocator;
using c10::DeviceIndex;
using c10::cuda::MempoolId_t;
using Filter = int (*)(void *user, uint64_t stream);

enum Status { DONE = 0, OUT_OF_MEMORY = 1, REFUSED = 2, EXCEPTION = 3, UNKNOWN = 4, LACKING = 5 };

thread_local std::string message;

int failed(Status status, const char *text) noexcept {
  try {
    message = text;
  } catch (...) {
    message.clear();
  }
  return status;
}

[[maybe_unused]] int lacking() noexcept { return failed(LACKING, "this release has no such function"); }

template <class Body> int guarded(Body &&body) noexcept {
  try {
    return body();
  } catch (const c10::OutOfMemoryError &error) {
    return failed(OUT_OF_MEMORY, error.what_without_backtrace());
  } catch (const c10::Error &error) {
    return failed(REFUSED, error.what_without_backtrace());
  } catch (const std::exception &error) {
    return failed(EXCEPTION, error.what());
  } catch (...) {
    return failed(UNKNOWN, "an exception of an unknown type");
  }
}

template <class T> int64_t number(T value) { return static_cast<int64_t>(value); }
template <class T> int64_t number(T *value) { return static_cast<int64_t>(reinterpret_cast<uintptr_t>(value)); }

cudaStream_t raw(uint64_t stream) { return reinterpret_cast<cudaStream_t>(static_cast<uintptr_t>(stream)); }
void *pointer(uint64_t address) { return reinterpret_cast<void *>(static_cast<uintptr_t>(address)); }
MempoolId_t pool_id(const uint64_t id[2]) { return {id[0], id[1]}; }

c10::cuda::CUDAStream stream_of(DeviceIndex device, uint64_t stream) {
  return stream == 0 ? c10::cuda::getDefaultCUDAStream(device) : c10::cuda::getStreamFromExternal(raw(stream), device);
}

// As torch.cuda.device does it: __enter__ exchanges, __exit__ exchanges back where a context is.
class OnDevice {
public:
  explicit OnDevice(DeviceIndex device) : before_(c10::cuda::ExchangeDevice(device)) {}
  OnDevice(const OnDevice &) = delete;
  OnDevice &operator=(const OnDevice &) = delete;
  // The failure that unwinds is the one to tell.
  ~OnDevice() {
    if (!left_) {
      try {
        c10::cuda::MaybeExchangeDevice(before_);
      } catch (...) {
      }
    }
  }
  void leave() {
    left_ = true;
    c10::cuda::MaybeExchangeDevice(before_);
  }

private:
  DeviceIndex before_;
  bool left_ = false;
};

class OnStream {
public:
  explicit OnStream(c10::cuda::CUDAStream stream) : before_(c10::cuda::getCurrentCUDAStream(stream.device_index())) {
    c10::cuda::setCurrentCUDAStream(stream);
  }
  OnStream(const OnStream &) = delete;
  OnStream &operator=(const OnStream &) = delete;
  ~OnStream() {
    try {
      c10::cuda::setCurrentCUDAStream(before_);
    } catch (...) {
    }
  }

private:
  c10::cuda::CUDAStream before_;
};

} // namespace
