// Expandable segments: cuMemUnmap fails once, and every later empty_cache fails, before it has given anything back.
#include "begin.h"

int main() {
  begin("expandable_segments:True");
  a::raw_delete(a::raw_alloc(30 * MIB));
  standin_fail("cuMemUnmap", 1, 999);
  std::string said;
  for (int i = 0; i < 3; i++) said = outcome([] { a::emptyCache(); });
  return verdict("the third empty_cache is done, and 0 bytes are reserved", said.substr(0, 60) + ", and " + std::to_string(reserved()) + " bytes are reserved", said != "done" || reserved() != 0);
}
