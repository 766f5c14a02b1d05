// Expandable segments: cuMemSetAccess fails once, and no request of that size class is served any more.
#include "begin.h"

int main() {
  begin("expandable_segments:True");
  standin_fail("cuMemSetAccess", 1, 2);
  const auto said = outcome([] { a::raw_alloc(30 * MIB); });
  const auto again = outcome([] { a::raw_alloc(30 * MIB); });
  return verdict("refused once, and then served", "first: " + said.substr(0, 50) + "; again: " + again.substr(0, 60), again != "done");
}
