// setMemoryFraction(fraction, 1) leaves device 1 as the current one.
#include "begin.h"

int main() {
  begin();
  c10::cuda::set_device(0);
  a::setMemoryFraction(0.5, 1);
  const int current = c10::cuda::current_device();
  return verdict("device 0 is still the current one", "device " + std::to_string(current), current != 0);
}
