// Expandable segments: a request is held against the memory limit by its own size, and whole pages of 20 MiB are mapped.
#include "begin.h"

int main() {
  begin("expandable_segments:True");
  a::setMemoryFraction(64.0 / 1024, 0);  // 64 MiB
  void *block = nullptr;
  const auto said = outcome([&] { block = a::raw_alloc(62 * MIB); });
  return verdict("at most 67108864 bytes reserved, under a limit of 64 MiB", std::to_string(reserved()) + " bytes reserved", reserved() > int64_t(64 * MIB));
}
