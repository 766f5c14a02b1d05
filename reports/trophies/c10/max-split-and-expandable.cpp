// max_split_size_mb and expandable_segments together: short of memory, a request ends in an internal assertion.
#include "begin.h"

int main() {
  begin("expandable_segments:True,max_split_size_mb:32");
  void *block = a::raw_alloc(600 * MIB);  // of 1024 MiB
  a::raw_delete(block);
  c10::cuda::setCurrentCUDAStream(c10::cuda::getDefaultCUDAStream(0));
  const auto said = outcome([] { a::raw_alloc(1100 * MIB); });
  return verdict("CUDA out of memory...", said.substr(0, 70), said.rfind("CUDA out of memory", 0) != 0);
}
