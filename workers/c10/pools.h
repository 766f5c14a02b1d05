// Private pools and the allocator's side of captures.
//
// Part of shim.cpp. From 2.5 to 2.9 a pool is c10's own object; from 2.10 on it is ATen's, which is not in these libraries, so
// that what its constructor and destructor ask of the allocator is asked here. Before 2.5 a pool is no more than its number.

#pragma once

#include "shim.h"

#include <atomic>
#include <map>
#include <memory>
#include <vector>

namespace {

// Pools that live: in 2.5 to 2.9 the objects, later their devices; the counter where the libraries have none.
#if SINCE(5) && !SINCE(10)
std::map<MempoolId_t, std::unique_ptr<c10::cuda::MemPool>> pools;
#elif SINCE(10)
std::map<MempoolId_t, DeviceIndex> pools;
#endif
#if !SINCE(5) || SINCE(10)
std::atomic<uint64_t> next_pool{1};
#endif
#if SINCE(5) && !SINCE(8)
std::map<MempoolId_t, std::vector<std::unique_ptr<c10::cuda::MemPoolContext>>> contexts;
#endif

MempoolId_t new_pool(DeviceIndex device) {
#if !SINCE(5)
  (void)device;
  return {0, next_pool++};
#elif !SINCE(10)
  OnDevice on(device);
  auto pool = std::make_unique<c10::cuda::MemPool>();
  const auto id = pool->id();
  on.leave();
  pools[id] = std::move(pool);
  return id;
#else
  const MempoolId_t id = {0, next_pool++};
  allocator::createOrIncrefPool(device, id);
  pools[id] = device;
  return id;
#endif
}

// What ~MemPool does. Where c10's own (2.6 to 2.9) asserts that nobody else uses the pool, that is asked first and told as a
// refusal; ATen's asserts nothing, and from 2.11 on takes use_on_oom back. What fails here fails in a destructor there, and
// ends the process: a status other than DONE stands for that.
int end_pool(const MempoolId_t &id) {
#if !SINCE(5)
  (void)id;
  return lacking();
#else
  const auto found = pools.find(id);
  if (found == pools.end()) return failed(REFUSED, "no pool of that id was created here");
#if SINCE(10)
  const auto device = found->second;
  pools.erase(found);
#if SINCE(11)
  allocator::setUseOnOOM(device, id, false);
#endif
  allocator::releasePool(device, id);
  allocator::emptyCache(id);
#else
#if SINCE(6)
  if (found->second->use_count() != 1) return failed(REFUSED, "use_count() == 1: torch would end the process here");
#endif
  pools.erase(found);
#endif
  return DONE;
#endif
}

} // namespace

EXPORT int pp_graph_pool_id(uint64_t id[2]) {
  return guarded([&] {
#if !SINCE(5) || SINCE(10)
    const MempoolId_t made = {0, next_pool++};
#elif SINCE(6)
    const auto made = c10::cuda::MemPool::graph_pool_handle();
#else
    const auto made = c10::cuda::MemPool().id();
#endif
    id[0] = made.first;
    id[1] = made.second;
    return DONE;
  });
}

EXPORT int pp_pool_create(int device, uint64_t id[2]) {
  return guarded([&] {
    const auto made = new_pool(static_cast<DeviceIndex>(device));
    id[0] = made.first;
    id[1] = made.second;
    return DONE;
  });
}

EXPORT int pp_pool_destroy(const uint64_t id[2]) {
  return guarded([&] { return end_pool(pool_id(id)); });
}

// Without a filter every stream's requests go to the pool. The filter is asked under the allocator's lock.
EXPORT int pp_begin_to_pool(int device, const uint64_t id[2], Filter filter, void *user) {
  return guarded([&] {
#if SINCE(5) && !SINCE(8)
    const auto made = pools.find(pool_id(id));
    if (made != pools.end()) {
      contexts[made->first].push_back(std::make_unique<c10::cuda::MemPoolContext>(made->second.get()));
    }
#endif
    allocator::beginAllocateToPool(
        static_cast<DeviceIndex>(device), pool_id(id), [filter, user](cudaStream_t stream) {
          return filter == nullptr || filter(user, static_cast<uint64_t>(number(stream))) != 0;
        });
    return DONE;
  });
}

EXPORT int pp_end_to_pool(int device, const uint64_t id[2]) {
  return guarded([&] {
    allocator::endAllocateToPool(static_cast<DeviceIndex>(device), pool_id(id));
#if SINCE(5) && !SINCE(8)
    const auto entered = contexts.find(pool_id(id));
    if (entered != contexts.end() && !entered->second.empty()) entered->second.pop_back();
#endif
    return DONE;
  });
}

EXPORT int pp_release_pool(int device, const uint64_t id[2]) {
  return guarded([&] {
    allocator::releasePool(static_cast<DeviceIndex>(device), pool_id(id));
    return DONE;
  });
}

EXPORT int pp_pool_use_count(int device, const uint64_t id[2], int *count) {
#if SINCE(6)
  return guarded([&] {
    *count = allocator::getPoolUseCount(static_cast<DeviceIndex>(device), pool_id(id));
    return DONE;
  });
#else
  (void)device, (void)id, (void)count;
  return lacking();
#endif
}

// From 2.8 on; only from 2.11 on can it be taken back.
EXPORT int pp_use_on_oom(int device, const uint64_t id[2], int on) {
#if SINCE(11)
  return guarded([&] {
    allocator::setUseOnOOM(static_cast<DeviceIndex>(device), pool_id(id), on != 0);
    return DONE;
  });
#elif SINCE(8)
  if (on == 0) return lacking();
  return guarded([&] {
    allocator::setUseOnOOM(static_cast<DeviceIndex>(device), pool_id(id));
    return DONE;
  });
#else
  (void)device, (void)id, (void)on;
  return lacking();
#endif
}

// From 2.10 on.
EXPORT int pp_no_split(int device, const uint64_t id[2]) {
#if SINCE(10)
  return guarded([&] {
    allocator::setNoSplit(static_cast<DeviceIndex>(device), pool_id(id));
    return DONE;
  });
#else
  (void)device, (void)id;
  return lacking();
#endif
}

// From 2.13 on the allocator is told of captures apart from pools (and not of which pool); before, pp_begin_to_pool is all
// there is.
EXPORT int pp_capture_begin(int device, const uint64_t id[2]) {
  (void)id;
#if SINCE(13)
  return guarded([&] {
    allocator::markCaptureBegin(static_cast<DeviceIndex>(device));
    return DONE;
  });
#else
  (void)device;
  return lacking();
#endif
}

EXPORT int pp_capture_end(int device, const uint64_t id[2]) {
  (void)id;
#if SINCE(13)
  return guarded([&] {
    allocator::markCaptureEnd(static_cast<DeviceIndex>(device));
    return DONE;
  });
#else
  (void)device;
  return lacking();
#endif
}
