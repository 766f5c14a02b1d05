//! A program for a library of PyTorch's pluggable form, on the host: it loads the library and brings the streams itself.
//!
//! Decides which functions of the library an operation calls. A library shows no figures and no texts: what would need them is refused.

use super::check::Check;
use super::{Program, Tongue, Unsaid, plain, quoted};
use crate::op::step::AddressExpect;
use crate::op::{DeviceId, Op, RefusalClass};

const TONGUE: Tongue = Tongue::C;

pub(super) fn write(program: &Program<'_>) -> Result<String, Unsaid> {
    let source = program.source;
    let refuse = |why| Err(Unsaid::Target { target: source.reproducer.target.clone(), language: TONGUE, why });
    let Some(library) = source.origin.allocator.strip_prefix("plugin:") else {
        return refuse("it is written for plugin:LIBRARY@host");
    };
    if source.origin.place != "host" {
        return refuse("its streams are stand-ins of the host");
    }
    let mut text = String::from("/*");
    for line in program.head() {
        text += format!(" {}\n *", plain(&line)).replace(" \n", "\n").as_str();
    }
    text += "\n *     cc -O1 THIS.c -o it -ldl && ./it LIBRARY.so\n */\n";
    text += HEAD;
    let (library, devices) = (quoted(library), program.devices());
    let streams = source.reproducer.setup.streams;
    text += &format!("int main(int argc, char **argv) {{\n    const char *path = argc > 1 ? argv[1] : {library};\n");
    for (_, value) in source.origin.options.iter().filter(|(key, _)| key == "env") {
        if let Some((name, value)) = value.as_deref().and_then(|value| value.split_once('=')) {
            text += &format!("    setenv({}, {}, 1);\n", quoted(name), quoted(value));
        }
    }
    let survives = program.checks.contains(&Check::Survives);
    if survives {
        text += "    if (in_a_child()) return wrong;\n";
    }
    let names = ["alloc", "free", "init", "memory_fraction", "reset", "trim", "record_stream"];
    let names: Vec<String> =
        names.iter().map(|name| source.origin.option(name).map_or_else(|| "NULL".to_owned(), quoted)).collect();
    let sizes: Vec<String> = source.reproducer.setup.device_bytes.iter().map(|b| format!("{b}ul")).collect();
    text += &format!(
        "    const char *names[] = {{{}}};\n    const size_t sizes[] = {{{}}};\n",
        names.join(", "),
        sizes.join(", ")
    );
    text += &format!("    begin(path, names, {devices}, sizes, {streams});\n");
    for at in 0..program.lines.len() {
        let told = step(program, at)?;
        text += &format!("    {told} /* {} */\n", plain(&program.lines[at].op.to_line()));
    }
    for check in &program.checks {
        text += &checked(program, check)?;
    }
    text += if survives { "    exit(0);\n}\n" } else { "    return wrong;\n}\n" };
    Ok(text)
}

const HEAD: &str = r#"#define _GNU_SOURCE
#include <dlfcn.h>
#include <inttypes.h>
#include <link.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/types.h>
#include <sys/wait.h>
#include <unistd.h>

typedef void *Stream;
typedef struct { char *at; size_t bytes; int device, stream, tag; } Block;
enum { DEVICES = 16, STREAMS = 64, BLOCKS = 4096, QUEUED = 4096 };
static void *(*take)(ssize_t, int, Stream);
static void (*give)(void *, ssize_t, int, Stream);
static void (*set_fraction)(double, int);
static void (*empty)(void);
static void (*note_stream)(void *, Stream);
static Block b[BLOCKS]; /* as their callers know them; freed ones keep their place */
static char busy[DEVICES][STREAMS];
static int stream_count, wrong;

/* Handles that are no addresses, 0 for the default stream. */
static Stream handle(int device, int stream) {
    return (Stream)(uintptr_t)(stream ? (uintptr_t)(device + 1) << 16 | (uintptr_t)stream << 4 : 0);
}
static int stream_of(int device, Stream at) {
    for (int stream = 0; stream < stream_count; stream++)
        if (handle(device, stream) == at) return stream;
    return -1;
}

/* Work that waits for its stream: it writes a block's pattern wherever that lies by then. */
static struct { Block block; int device, stream; } queue[QUEUED];
static int queued;
static size_t next_part(size_t at, size_t bytes) { /* both ends and the beginning of each MiB of what is large */
    const size_t part = 4096, mib = 1 << 20;
    size_t to = at % mib < part || bytes - at <= part || bytes <= 256 << 10 ? at + 1 : (at / mib + 1) * mib;
    return to > at + 1 && bytes > part && to > bytes - part ? bytes - part : to;
}
static void put(const Block *block) {
    for (size_t i = 0; i < block->bytes; i = next_part(i, block->bytes)) block->at[i] = (char)block->tag;
}
static void enqueue(Block block, int stream) {
    if (!busy[block.device][stream]) { put(&block); return; }
    if (queued == QUEUED) exit(2);
    queue[queued].block = block, queue[queued].device = block.device, queue[queued++].stream = stream;
}
static void finish(int device, int stream) {
    busy[device][stream] = 0;
    for (int i = 0; i < queued; i++)
        if (queue[i].block.at && queue[i].device == device && queue[i].stream == stream) put(&queue[i].block), queue[i].block.at = NULL;
}
static void finish_all(int device) { for (int stream = 0; stream < stream_count; stream++) finish(device, stream); }
static int is_idle(int device, Stream at) { int stream = stream_of(device, at); return stream < 0 ? -1 : !busy[device][stream]; }
static void synchronize(int device, Stream at) { int stream = stream_of(device, at); if (stream >= 0) finish(device, stream); }

/* A function of the library itself: the C library has a `free`, too. */
static void *own(void *library, const char *name) {
    struct link_map *map;
    Dl_info info;
    void *found = dlsym(library, name);
    if (!found || dlinfo(library, RTLD_DI_LINKMAP, &map) || !dladdr(found, &info)) return NULL;
    return (uintptr_t)info.dli_fbase == (uintptr_t)map->l_addr ? found : NULL;
}
static void *find(void *library, const char *given, const char *const *usual) {
    if (given) return own(library, given);
    for (; *usual; usual++)
        if (own(library, *usual)) return own(library, *usual);
    return NULL;
}
static void begin(const char *path, const char *const *names, int devices, const size_t *sizes, int streams) {
    void *library = dlopen(path, RTLD_NOW | RTLD_LOCAL);
    if (!library) { printf("%s\n", dlerror()); exit(2); }
    static const char *const alloc_names[] = {"alloc", "my_malloc", "allocate", NULL}, *const free_names[] = {"free", "my_free", "deallocate", NULL};
    static const char *const one[][2] = {{"init", NULL}, {"memory_fraction", NULL}, {"reset", NULL}, {"trim", NULL}, {"record_stream", NULL}};
    void (*init)(int);
    *(void **)&take = find(library, names[0], alloc_names), *(void **)&give = find(library, names[1], free_names);
    *(void **)&init = find(library, names[2], one[0]), *(void **)&set_fraction = find(library, names[3], one[1]);
    *(void **)&empty = find(library, names[5], one[3]), *(void **)&note_stream = find(library, names[6], one[4]);
    if (!empty) *(void **)&empty = find(library, names[4], one[2]);
    if (!take || !give) { printf("the library lacks a function to allocate or free\n"); exit(2); }
    stream_count = streams;
    /* Two functions that a library may have, to be told sizes and streams of the host. */
    void (*of_streams)(int (*)(int, Stream), void (*)(int, Stream)), (*of_device)(int, size_t);
    *(void **)&of_streams = own(library, "poolproof_streams"), *(void **)&of_device = own(library, "poolproof_device");
    if (of_streams) of_streams(is_idle, synchronize);
    for (int device = 0; of_device && device < devices; device++) of_device(device, sizes[device]);
    if (init) init(devices);
}
static void alloc(int block, int device, int stream, uint64_t bytes) {
    b[block] = (Block){take((ssize_t)bytes, device, handle(device, stream)), bytes, device, stream, block % 250 + 1};
}
static void release(int block) { if (b[block].at) give(b[block].at, (ssize_t)b[block].bytes, b[block].device, handle(b[block].device, b[block].stream)); }
static void record(int block, int stream) { if (note_stream && b[block].at) note_stream(b[block].at, handle(b[block].device, stream)); }
static int overlap(Block one, Block other) { return one.at < other.at + other.bytes && other.at < one.at + one.bytes; }
static size_t changed(Block block) {
    size_t count = 0;
    for (size_t i = 0; i < block.bytes; i = next_part(i, block.bytes)) count += block.at[i] != (char)block.tag;
    return count;
}
/* The sequence runs in a child, and its parent tells how that ended. */
static int in_a_child(void) {
    int status = 0;
    pid_t child = fork();
    if (child == 0) return 0;
    if (child < 0 || waitpid(child, &status, 0) < 0) exit(2);
    wrong = WIFSIGNALED(status) || WEXITSTATUS(status) != 0;
    printf("expected: the process lives on\nactual:   it ends by %s %d%s\n", WIFSIGNALED(status) ? "signal" : "exit code",
           WIFSIGNALED(status) ? WTERMSIG(status) : WEXITSTATUS(status), wrong ? "   <- wrong" : "");
    return 1;
}
static void tell(int holds) { printf("%s\n", holds ? "" : "   <- wrong"), wrong |= !holds; }

"#;

fn checked(program: &Program<'_>, check: &Check) -> Result<String, Unsaid> {
    let expected = quoted(&check.expected());
    let unseen = |why| Err(Unsaid::Check { what: check.expected(), language: TONGUE, why });
    let judged = program.lines[program.judged].op.block();
    let tell = |print: String, holds: String| {
        Ok(format!("    printf(\"expected: %s\\nactual:   \", {expected}); {print}\n    tell({holds});\n"))
    };
    let place = |block: u32| format!("printf(\"b{block} at %p, %zu bytes\", (void *)b[{block}].at, b[{block}].bytes);");
    let range = |block: u32| {
        format!("printf(\"[%p, %p) \", (void *)b[{block}].at, (void *)(b[{block}].at + b[{block}].bytes));")
    };
    match (check, judged) {
        (Check::Survives, _) => Ok(String::new()),
        (Check::Served, Some(block)) => tell(place(block.0), format!("b[{}].at != NULL", block.0)),
        (Check::Refused(classes), Some(block)) if classes.contains(&RefusalClass::OutOfMemory) => {
            tell(place(block.0), format!("b[{}].at == NULL", block.0))
        }
        (Check::Address(block, wanted), _) => {
            let at = format!("b[{}].at", block.0);
            let holds = match wanted {
                AddressExpect::Null => format!("{at} == NULL"),
                AddressExpect::NotNull => format!("{at} != NULL"),
                AddressExpect::SameAs(other) => format!("{at} == b[{}].at", other.0),
                AddressExpect::DifferentFrom(other) => format!("{at} != b[{}].at", other.0),
            };
            tell(place(block.0), holds)
        }
        (Check::Apart { block, other }, _) => {
            tell(format!("{} {}", range(block.0), range(other.0)), format!("!overlap(b[{}], b[{}])", block.0, other.0))
        }
        (Check::NotUnderWork { block, former, device, streams }, _) => {
            let works: Vec<String> = streams.iter().map(|stream| format!("busy[{device}][{stream}]")).collect();
            let holds = format!("!(overlap(b[{}], b[{}]) && ({}))", block.0, former.0, works.join(" || "));
            tell(format!("{} {}", range(block.0), range(former.0)), holds)
        }
        (Check::Aligned { block, to }, _) => tell(place(block.0), format!("(uintptr_t)b[{}].at % {to} == 0", block.0)),
        (Check::Intact(block), _) => tell(
            format!("printf(\"%zu of the bytes that were looked at differ\", changed(b[{}]));", block.0),
            format!("changed(b[{}]) == 0", block.0),
        ),
        (Check::Figure { .. } | Check::Moved { .. }, _) => unseen("such a library shows no figures"),
        _ => unseen("such a library answers with an address or none"),
    }
}

fn step(program: &Program<'_>, at: usize) -> Result<String, Unsaid> {
    let line = &program.lines[at];
    let refuse = |why| Err(program.unsaid(at, TONGUE, why));
    let count = i32::try_from(program.devices()).unwrap_or(i32::MAX);
    if line.op.device().is_some_and(|device: DeviceId| !(0..count).contains(&device.0)) {
        return refuse("PyTorch refuses a device that does not exist before such a library is asked");
    }
    if line.op.block().is_some_and(|block| block.0 >= 4096) {
        return refuse("there are more blocks than such a program keeps");
    }
    Ok(match &line.op {
        Op::Alloc { block, device, stream, bytes, .. } => {
            format!("alloc({}, {}, {}, {bytes}ul);", block.0, device.map_or(0, |d| d.0), stream.0)
        }
        Op::Free { block } => format!("release({});", block.0),
        Op::RecordStream { block, stream } => format!("record({}, {});", block.0, stream.0),
        Op::Use { block, stream } => format!("enqueue(b[{}], {});", block.0, stream.0),
        Op::Fill { block } => format!("enqueue(b[{0}], b[{0}].stream);", block.0),
        Op::Verify { .. } => "(void)0;".to_owned(),
        Op::Occupy { device, stream } => format!("busy[{}][{}] = 1;", device.0, stream.0),
        Op::Finish { device, stream } => format!("finish({}, {});", device.0, stream.0),
        Op::Synchronize { device } => format!("finish_all({});", device.0),
        Op::EmptyCache => "if (empty) empty();".to_owned(),
        Op::SetFraction { device, fraction } if (0.0..=1.0).contains(fraction) => {
            format!("if (set_fraction) set_fraction({fraction:?}, {});", device.map_or(0, |d| d.0))
        }
        Op::SetFraction { .. } => return refuse("PyTorch refuses such a fraction before such a library is asked"),
        Op::CycleEnd | Op::GetFraction { .. } => "(void)0;".to_owned(),
        Op::FreePointer { .. } => return refuse("PyTorch frees no pointer that such a library did not hand out"),
        Op::WaitStream { .. } => return refuse("who waits for whom no such library is told"),
        Op::Caller { .. } | Op::SetCurrent { .. } => return refuse("calls come from one thread"),
        Op::Fault { .. } => return refuse("a failing device call is the harness's"),
        Op::Neighbour { .. } => return refuse("another process's memory is the harness's"),
        Op::PoolCreate { .. } | Op::PoolEnter { .. } | Op::PoolExit { .. } | Op::PoolDelete { .. } => {
            return refuse("private pools are not written here");
        }
        _ => return refuse("such a library has no function for it"),
    })
}
