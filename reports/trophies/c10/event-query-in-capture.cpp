// While a stream captures, a request on another stream that the cache could serve asks an event, which CUDA forbids meanwhile.
#include "begin.h"

int main() {
  begin();
  const auto side = c10::cuda::getStreamFromPool(false, 0), graph = c10::cuda::getStreamFromPool(false, 0);
  a::raw_delete(a::raw_alloc(30 * MIB));  // cached
  void *block = a::raw_alloc(MIB);
  record(block, side);
  a::raw_delete(block);  // waits for an event
  capture(0, {1, 0}, graph);
  c10::cuda::setCurrentCUDAStream(c10::cuda::getDefaultCUDAStream(0));  // as in another thread
  const auto said = outcome([] { a::raw_alloc(30 * MIB); });
  return verdict("done", said.substr(0, 70), said != "done");
}
