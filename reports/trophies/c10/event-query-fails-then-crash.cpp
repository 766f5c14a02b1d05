// cudaEventQuery fails once in a request: the event is lost, its block stays, and the next request takes a null event.
#include "begin.h"
#include <csignal>

int main() {
  begin();
  const auto side = c10::cuda::getStreamFromPool(false, 0);
  void *block = a::raw_alloc(30 * MIB);
  record(block, side);
  a::raw_delete(block);
  standin_fail("cudaEventQuery", 1, 46);  // cudaErrorDevicesUnavailable, which is not sticky
  const auto said = outcome([] { a::raw_alloc(MIB); });
  std::signal(SIGSEGV, [](int) { verdict("the next request is served", "SIGSEGV", true); });
  const auto again = outcome([] { a::raw_alloc(MIB); });
  return verdict("the next request is served", again, again != "done");
}
