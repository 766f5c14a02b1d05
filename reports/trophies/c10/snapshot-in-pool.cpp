// torch.cuda.memory_snapshot inside use_mem_pool shows that pool alone: a block that was asked for before is left out.
#include "begin.h"

int main() {
  begin();
  a::raw_alloc(MIB);
#if SINCE(5) && !SINCE(8)
  c10::cuda::MemPool pool;  // what use_mem_pool does besides, in the releases that have it
  c10::cuda::MemPoolContext entered(&pool);
#endif
  enter(0, {0, 1});
#if SINCE(11)
  const auto shown = a::snapshot({0, 0}, false);
#else
  const auto shown = a::snapshot();
#endif
  size_t blocks = 0;
  for (const auto &segment : shown.segments)
    for (const auto &block : segment.blocks) blocks += block.allocated;
  return verdict("1 allocated block, as memory_stats counts it", std::to_string(blocks) + " allocated blocks", blocks != 1);
}
