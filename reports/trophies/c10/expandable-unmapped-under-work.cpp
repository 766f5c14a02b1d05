// Expandable segments: empty_cache unmaps memory of device 1 while its default stream works on it, if device 0 is current.
#include "begin.h"
extern "C" int standin_unmapped_under_work();

int main() {
  begin("expandable_segments:True");
  c10::cuda::set_device(1);
  void *block = a::raw_alloc(30 * MIB);
  standin_busy(1, nullptr);  // a kernel on the default stream that takes long and uses the block
  a::raw_delete(block);
  c10::cuda::set_device(0);
  a::emptyCache();
  const int unmapped = standin_unmapped_under_work();
  return verdict("unmapped after the default stream of device 1 came to its end", std::to_string(unmapped) + " pages unmapped before", unmapped != 0);
}
