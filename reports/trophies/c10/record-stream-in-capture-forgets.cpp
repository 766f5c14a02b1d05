// A use that was recorded outside a capture is forgotten where the same stream was recorded inside one before.
#include "begin.h"

int main() {
  begin();
  const auto side = c10::cuda::getStreamFromPool(false, 0), graph = c10::cuda::getStreamFromPool(false, 0);
  const Pool pool{1, 0};
  void *block = a::raw_alloc(30 * MIB);
  capture(0, pool, graph);
  standin_captures(0, side.stream(), 1);  // it was forked into the capture, and joins again
  record(block, side);
  standin_captures(0, side.stream(), 0);
  capture_ends(0, pool, graph);
  standin_busy(0, side.stream());  // later, and outside: a kernel on the side stream that takes long uses it
  record(block, side);
  capture(0, pool, graph);
  a::raw_delete(block);
  capture_ends(0, pool, graph);
  void *next = a::raw_alloc(30 * MIB);
  const bool wrong = next == block && standin_is_busy(0, side.stream());
  return verdict("the memory is not handed out while the side stream works on it",
                 wrong ? "handed out, and the side stream still works" : "kept back", wrong);
}
