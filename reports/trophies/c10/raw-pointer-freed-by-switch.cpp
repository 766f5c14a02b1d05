// A cached raw pointer goes to cudaFree once caching is off; the figures keep its memory for ever.
#include "begin.h"

int main() {
  begin();
#if SINCE(6)
  void *block = a::raw_alloc(30 * MIB);
  a::enable(false);
  a::raw_delete(block);
  a::enable(true);
  a::emptyCache();
  return verdict("0 bytes allocated and 0 reserved", std::to_string(allocated()) + " and " + std::to_string(reserved()), reserved() != 0);
#else
  return verdict("-", "caching cannot be switched in this release", false);
#endif
}
