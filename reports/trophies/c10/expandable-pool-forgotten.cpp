// Expandable segments: a private pool's growth is counted once, and what goes back piece by piece: the pool is forgotten early.
#include "begin.h"

int main() {
  begin("expandable_segments:True");
  const Pool pool{0, 1};
  a::beginAllocateToPool(0, pool, [](cudaStream_t) { return true; });
  a::raw_delete(a::raw_alloc(100 * MIB));  // one growth of five pages
  void *first = a::raw_alloc(40 * MIB), *kept = a::raw_alloc(20 * MIB), *last = a::raw_alloc(40 * MIB);
  a::endAllocateToPool(0, pool);
  a::releasePool(0, pool);
  a::raw_delete(first), a::raw_delete(last);
  const auto said = outcome([] { a::emptyCache(); });
  const auto then = outcome([&] { a::raw_delete(kept), a::emptyCache(); });
  return verdict("0 bytes reserved at the end", said + "; " + then + "; " + std::to_string(reserved()) + " bytes reserved at the end", reserved() != 0 || said != "done" || then != "done");
}
