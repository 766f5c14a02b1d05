// A settings string that is refused resets settings.
#include "begin.h"

int main() {
  begin();
  settings("roundup_power2_divisions:2");
  const auto said = outcome([] { settings("max_split_size_mb:1"); });
  a::raw_alloc(5 * MIB);
  return verdict("refused, and 5 MiB are rounded to 6291456 bytes as before", said.substr(0, 60) + ", and to " + std::to_string(allocated()), allocated() != 6 * MIB);
}
