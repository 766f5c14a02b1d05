// Inside use_mem_pool no freed block with a recorded stream is used again, though the stream has come to its end.
#include "begin.h"

int main() {
  begin();
  const auto side = c10::cuda::getStreamFromPool(false, 0);
  enter(0, {0, 1});
  for (int i = 0; i < 10; i++) {
    void *block = a::raw_alloc(30 * MIB);
    record(block, side);
    a::raw_delete(block);
  }
  return verdict("31457280 bytes reserved: each block is the one before", std::to_string(reserved()), reserved() != 30 * MIB);
}
