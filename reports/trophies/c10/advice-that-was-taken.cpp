// The text of a refusal advises expandable_segments:True although it is on.
#include "begin.h"

int main() {
  begin("expandable_segments:True");
  std::string text;
  try {
    a::raw_alloc(2048 * MIB);
  } catch (const c10::OutOfMemoryError &error) {
    text = error.what_without_backtrace();
  }
  const auto at = text.find("try setting");
  return verdict("no advice to set what is set", at == text.npos ? "none" : text.substr(at, 60), at != text.npos);
}
