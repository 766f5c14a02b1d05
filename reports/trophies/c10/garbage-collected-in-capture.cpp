// garbage_collection_threshold: a request of a capture frees cached blocks, which CUDA forbids while a stream captures.
#include "begin.h"

int main() {
  begin("garbage_collection_threshold:0.5");
  a::setMemoryFraction(0.9, 0);
  a::raw_delete(a::raw_alloc(600 * MIB));  // in the cache, and more than half of what is allowed
  const auto graph = c10::cuda::getStreamFromPool(false, 0);
  c10::cuda::setCurrentCUDAStream(graph);
  capture(0, {1, 0}, graph);
  const auto said = outcome([] { a::raw_alloc(30 * MIB); });
  return verdict("done: 300 MiB are left", said.substr(0, 70), said != "done");
}
