// max_split_size_mb lowered at run time: a request that is short of memory frees a segment under a live block.
#include "begin.h"

int main() {
  begin();
  a::raw_delete(a::raw_alloc(64 * MIB));  // one segment
  void *front = a::raw_alloc(30 * MIB), *back = a::raw_alloc(30 * MIB);  // both are cut from it
  a::raw_delete(front);
  settings("max_split_size_mb:24");
  const auto said = outcome([] { a::raw_alloc(1000 * MIB); });  // of 1024 MiB
  const auto used = standin_used(0);
  return verdict("refused, and 64 MiB are still in use on the device", said.substr(0, 40) + "; " + std::to_string(used / MIB) + " MiB in use", said == "done");
}
