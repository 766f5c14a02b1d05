/* The binary template, which goes wrong at the twentieth answer of a life in the way that GONE in its environment names. */
#include <signal.h>

#include "frames.h"

static int send_or_go_wrong(void);
#define send_frame send_or_go_wrong
#include "adapter_binary.c"
#undef send_frame

static int goes(const char *how) { return getenv("GONE") && !strcmp(getenv("GONE"), how); }

static int send_raw(const void *bytes, size_t length) { return send_bytes(bytes, length); }

static int send_or_go_wrong(void) {
    static int answers;
    static const unsigned char opened[] = {0x81, 0xa6, 'o', 'p', 'e', 'n', 'e', 'd'};
    if (answer.used > PREFIX + sizeof opened && !memcmp(answer.bytes + PREFIX, opened, sizeof opened)) answers = 0;
    if (++answers != 20) return send_frame();
    if (goes("garbage")) return send_raw("Segmentation fault\n", 19);        /* a length of 1.7 GB */
    if (goes("no-message")) return send_raw("\x03\0\0\0\xdb\xff\xff", 7);     /* a text longer than its frame */
    if (goes("line")) return send_raw("\n\0\0\0{\"what\":1}", 14);
    if (goes("empty")) return send_raw("\0\0\0\0", 4);
    if (goes("half")) return send_raw("\xff\0\0\0\x81", 5), exit(3), 0;
    if (goes("half-and-waits")) return send_raw("\xff\0\0\0\x81", 5), pause(), 0;
    if (goes("segfault")) raise(SIGSEGV);
    return send_frame();
}
