// cudaFree fails in empty_cache: the free that did not happen is counted.
#include "begin.h"

int main() {
  begin();
  a::raw_delete(a::raw_alloc(30 * MIB));
  standin_fail("cudaFree", 1, 46);
  const auto said = outcome([] { a::emptyCache(); });
  const auto freed = a::getDeviceStats(0).num_device_free;
  return verdict("num_device_free is 0 while nothing was freed", std::to_string(freed) + ", with " + std::to_string(reserved()) + " bytes reserved", freed != 0);
}
