// A block counts as oversize when it goes and not when it came: max_split_size_mb changed in between.
#include "begin.h"

int main() {
  begin();
  void *block = a::raw_alloc(300 * MIB);
  settings("max_split_size_mb:100");
  a::raw_delete(block);
  const auto left = a::getDeviceStats(0).oversize_allocations.current;
  return verdict("oversize_allocations.current is 0 when nothing is allocated", std::to_string(left), left != 0);
}
