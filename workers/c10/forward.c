/* A library of CUDA in name alone: every function is a jump through a slot that the program fills.
 *
 * Built three times, as POOLPROOF_RUNTIME (libcudart.so.12 or .13, its version node given by the linker),
 * POOLPROOF_DRIVER (libcuda.so.1) and POOLPROOF_MANAGEMENT (libnvidia-ml.so.1). Beside the functions it exports
 *
 *     const char *const poolproof_names[]   the functions, ended by NULL
 *     void *poolproof_slots[]               where each leads, in the same order
 *     int (*poolproof_unbound)(const char *name)
 *
 * A slot that nobody has filled asks `poolproof_unbound` with the function's name and gives its answer on; without it
 * the answer is the library's "not supported". A function that answers with a text says "not supported" then.
 * It decides nothing else: what a function does is the program's.
 *
 * Each function touches two sections at once, which C cannot say, so it is assembly: no register but one that any
 * call may change is used, and all arguments go on as they came. */

#if !defined(__linux__) || !(defined(__x86_64__) || defined(__aarch64__))
#error "forwarding libraries are for Linux on x86-64 and on 64-bit ARM"
#endif

#if defined(POOLPROOF_MANAGEMENT)
#define NOT_SUPPORTED 3 /* NVML_ERROR_NOT_SUPPORTED */
#else
#define NOT_SUPPORTED 801 /* cudaErrorNotSupported, CUDA_ERROR_NOT_SUPPORTED */
#endif

int (*poolproof_unbound)(const char *name);

__attribute__((used, visibility("hidden"))) int poolproof_refuse(const char *name) {
    return poolproof_unbound ? poolproof_unbound(name) : NOT_SUPPORTED;
}

__attribute__((used, visibility("hidden"))) const char *poolproof_refuse_text(const char *name) {
    poolproof_refuse(name);
    return "not supported";
}

#if defined(__x86_64__)
#define THROUGH_SLOT "    jmp *1f(%rip)\n"
#define WITH_NAME(refuse) "    leaq 3f(%rip), %rdi\n    jmp " refuse "\n"
#else
#define THROUGH_SLOT "    adrp x16, 1f\n    ldr x16, [x16, #:lo12:1f]\n    br x16\n"
#define WITH_NAME(refuse) "    adrp x0, 3f\n    add x0, x0, #:lo12:3f\n    b " refuse "\n"
#endif

#define FORWARD(name, refuse)                                                    \
    ".text\n.balign 16\n.globl " #name "\n.type " #name ", %function\n" #name ":\n" \
    THROUGH_SLOT                                                                 \
    "2:\n"                                                                       \
    WITH_NAME(refuse)                                                            \
    ".size " #name ", . - " #name "\n"                                           \
    ".section .poolproof.slots, \"aw\"\n1: .quad 2b\n"                           \
    ".section .poolproof.text, \"a\"\n3: .asciz \"" #name "\"\n"                 \
    ".section .poolproof.names, \"aw\"\n.quad 3b\n"

#if defined(POOLPROOF_RUNTIME)
#define RUNTIME(name) FORWARD(name, "poolproof_refuse")
#define RUNTIME_TEXT(name) FORWARD(name, "poolproof_refuse_text")
#define DRIVER(name)
#define MANAGEMENT(name)
#elif defined(POOLPROOF_DRIVER)
#define RUNTIME(name)
#define RUNTIME_TEXT(name)
#define DRIVER(name) FORWARD(name, "poolproof_refuse")
#define MANAGEMENT(name)
#elif defined(POOLPROOF_MANAGEMENT)
#define RUNTIME(name)
#define RUNTIME_TEXT(name)
#define DRIVER(name)
#define MANAGEMENT(name) FORWARD(name, "poolproof_refuse")
#else
#error "say which library: POOLPROOF_RUNTIME, POOLPROOF_DRIVER or POOLPROOF_MANAGEMENT"
#endif

__asm__(
    ".section .poolproof.slots, \"aw\"\n.balign 8\n"
    ".globl poolproof_slots\n.type poolproof_slots, %object\npoolproof_slots:\n"
    ".section .poolproof.names, \"aw\"\n.balign 8\n"
    ".globl poolproof_names\n.type poolproof_names, %object\npoolproof_names:\n"
#include "functions.h"
    ".section .poolproof.names, \"aw\"\n.quad 0\n.size poolproof_names, . - poolproof_names\n"
    ".section .poolproof.slots, \"aw\"\n.size poolproof_slots, . - poolproof_slots\n"
    ".text\n");
