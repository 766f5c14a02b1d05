// cudaEventRecord fails in a free: the block is counted as freed, never comes back, and its memory is never given back.
#include "begin.h"

int main() {
  begin();
  const auto side = c10::cuda::getStreamFromPool(false, 0);
  void *block = a::raw_alloc(30 * MIB);
  c10::DataPtr data(block, block, a::get()->raw_deleter(), c10::Device(c10::kCUDA, 0));
  a::recordStream(data, side);
  data.release_context();
  standin_fail("cudaEventRecord", 1, 46);  // cudaErrorDevicesUnavailable, which is not sticky
  const auto said = outcome([&] { a::raw_delete(block); });
  const auto again = outcome([&] { a::raw_delete(block); });
  const auto emptied = outcome([] { a::emptyCache(); });
  return verdict("0 bytes reserved after the block was freed, the second time at the latest",
                 "free: " + said.substr(0, 40) + "; again: " + again.substr(0, 30) + "; " + std::to_string(allocated()) + " allocated, " + std::to_string(reserved()) + " reserved", reserved() != 0);
}
