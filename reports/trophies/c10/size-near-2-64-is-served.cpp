// A size near 2^64 is rounded up to 0 or to a block of 512 bytes, and served.
#include "begin.h"

int main() {
  begin();
  void *block = nullptr;
  const auto said = outcome([&] { block = a::raw_alloc(~size_t(0) - 100); });
  const auto requested = a::getDeviceStats(0).requested_bytes[0].current;
  const auto actual = block ? "served by a block of " + std::to_string(allocated()) + " bytes; requested_bytes.current is " + std::to_string(requested) : said;
  return verdict("2^64 - 101 bytes are refused: out of memory", actual, block != nullptr || said.find("ASSERT") != said.npos);
}
