// Inside use_mem_pool a request is refused while the memory that it needs lies in the default pool's cache.
#include "begin.h"

int main() {
  begin();
  a::raw_delete(a::raw_alloc(700 * MIB));  // of 1024 MiB
  enter(0, {0, 1});
  const auto said = outcome([] { a::raw_alloc(700 * MIB); });
  return verdict("done: what is cached is given back first", said.substr(0, 60), said != "done");
}
