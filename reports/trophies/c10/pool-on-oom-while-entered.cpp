// A pool with use_on_oom that somebody is in: a request of somebody else that finds no memory ends in another error than
// OutOfMemoryError, and the pool has one user too many for ever.
#include "begin.h"

int main() {
  begin();
#if SINCE(8)
  const Pool pool{0, 1};
  a::createOrIncrefPool(0, pool, nullptr);
#if SINCE(11)
  a::setUseOnOOM(0, pool, true);
#else
  a::setUseOnOOM(0, pool);
#endif
  const auto inside = c10::cuda::getStreamFromPool(false, 0);
  // As use_mem_pool of another thread, whose requests go to the pool and whose rest does not.
  a::beginAllocateToPool(0, pool, [&](cudaStream_t stream) { return stream == inside.stream(); });
  const auto said = outcome([] { a::raw_alloc(2048 * MIB); });  // more than the device has
  leave(0, pool);
  const int users = a::getPoolUseCount(0, pool);
  return verdict("CUDA out of memory..., and 1 user of the pool", said.substr(0, 60) + ", and " + std::to_string(users) + " users of the pool",
                 said.rfind("CUDA out of memory", 0) != 0 || users != 1);
#else
  return verdict("-", "no use_on_oom in this release", false);
#endif
}
