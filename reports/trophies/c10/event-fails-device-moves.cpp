// cudaEventRecord fails in a free: the device of the stream stays the current one.
#include "begin.h"

int main() {
  begin();
  c10::cuda::set_device(1);
  void *block = a::raw_alloc(30 * MIB);
  record(block, c10::cuda::getStreamFromPool(false, 1));
  c10::cuda::set_device(0);
  standin_fail("cudaEventRecord", 1, 46);
  const auto said = outcome([&] { a::raw_delete(block); });
  const int current = c10::cuda::current_device();
  return verdict("device 0 is still the current one", "device " + std::to_string(current), current != 0);
}
