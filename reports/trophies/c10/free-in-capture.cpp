// max_split_size_mb: a request of a capture frees cached blocks of it, which CUDA forbids while a stream captures.
#include "begin.h"

int main() {
  begin("max_split_size_mb:32");
  const auto graph = c10::cuda::getStreamFromPool(false, 0);
  const Pool pool{1, 0};
  c10::cuda::setCurrentCUDAStream(graph);
  capture(0, pool, graph);
  a::raw_delete(a::raw_alloc(600 * MIB));  // of 1024 MiB
  const auto said = outcome([] { a::raw_alloc(900 * MIB); });
  return verdict("CUDA out of memory..., and the capture goes on", said.substr(0, 70), said.rfind("CUDA out of memory", 0) != 0);
}
