// A MemPool that goes before the graph that was captured into it ends the process.
#include "begin.h"
#include <exception>
#include <memory>

int main() {
  begin();
#if SINCE(6) && !SINCE(10)
  std::set_terminate([] { verdict("the pool goes, the graph keeps its memory", "std::terminate", true); });
  auto pool = std::make_unique<c10::cuda::MemPool>();
  const auto id = pool->id();
  const auto graph = c10::cuda::getStreamFromPool(false, 0);
  capture(0, id, graph);
  capture_ends(0, id, graph);
  pool.reset();  // del pool
  return verdict("the pool goes, the graph keeps its memory", "so it is", false);
#else
  return verdict("-", "c10's library has no MemPool in this release", false);
#endif
}
