// use_mem_pool(pool, device=1) of a pool that was made on device 0 works once, and then ends in an internal assertion.
#include "begin.h"

int main() {
  begin();
  const Pool pool{0, 1};
#if SINCE(8)
  a::createOrIncrefPool(0, pool, nullptr);  // MemPool() while device 0 is current
#elif SINCE(6)
  a::ensureExistsAndIncrefPool(0, pool);
#endif
  void *kept = nullptr;
  c10::cuda::set_device(1);
  const auto first = outcome([&] { enter(1, pool), kept = a::raw_alloc(MIB), leave(1, pool); });
  const auto second = outcome([&] { enter(1, pool), a::raw_alloc(MIB), leave(1, pool); });
  return verdict("the second time as the first: done, or a refusal that says why", "first: " + first + "; second: " + second.substr(0, 60), second.find("ASSERT") != second.npos);
}
