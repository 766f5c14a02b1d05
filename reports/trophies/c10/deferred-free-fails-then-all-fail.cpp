// cudaEventRecord fails once for a block that was freed during a capture: every later request ends in an internal assertion.
#include "begin.h"

int main() {
  begin();
  const auto side = c10::cuda::getStreamFromPool(false, 0), graph = c10::cuda::getStreamFromPool(false, 0);
  void *block = a::raw_alloc(30 * MIB);
  record(block, side);
  capture(0, {1, 0}, graph);
  a::raw_delete(block);
  capture_ends(0, {1, 0}, graph);
  standin_fail("cudaEventRecord", 1, 46);
  std::string said;
  for (int i = 0; i < 3; i++) said = outcome([] { a::raw_alloc(MIB); });
  return verdict("the third request is served", said.substr(0, 70), said != "done");
}
