// use_mem_pool inside use_mem_pool: what is asked for in the inner pool comes from the outer one.
#include "begin.h"

int main() {
  begin();
  enter(0, {0, 1});
  void *first = a::raw_alloc(30 * MIB);
  a::raw_delete(first);  // cached in the outer pool
  enter(0, {0, 2});
  void *second = a::raw_alloc(30 * MIB);
  return verdict("memory of the inner pool's own", second == first ? "what is cached in the outer pool" : "so it is", second == first);
}
