// A pool that is entered while it is entered: the second time is refused, and counts as a user all the same.
#include "begin.h"

int main() {
  begin();
  const Pool pool{0, 1};
  const auto all = [](cudaStream_t) { return true; };
  a::beginAllocateToPool(0, pool, all);
  a::raw_delete(a::raw_alloc(MIB));
  const auto said = outcome([&] { a::beginAllocateToPool(0, pool, all); });
  a::endAllocateToPool(0, pool);
  a::releasePool(0, pool);  // by its only user
  a::emptyCache();
  return verdict("refused, and then 0 bytes reserved", said.substr(0, 60) + ", and then " + std::to_string(reserved()), said != "done" && reserved() != 0);
}
