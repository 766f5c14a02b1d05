// A stand-in for CUDA, for machines without a GPU: what c10's allocator calls, on devices of made-up addresses. Nothing runs
// and nothing is written; what matters is who is asked for what, and what fails. Two devices of 1 GiB, if nothing else is said.
#define _GNU_SOURCE
#include <dlfcn.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

enum { DEVICES = 2, LAST = 8192, OUT = 2, NOT_READY = 600, UNSUPPORTED = 801, IN_CAPTURE = 900 };
static size_t total[DEVICES] = {1ul << 30, 1ul << 30};
void standin_total(int device, size_t bytes) { total[device] = bytes; }

// What a program can switch.
static const char *failing = "";
static int fails_in, fails_with;
void standin_fail(const char *call, int nth, int error) { failing = call, fails_in = nth, fails_with = error; }
static char busy[DEVICES][64];  // stream 0 of a device, then those that were created
static int capturing, unmapped_under_work, current, last_error;
static size_t used[DEVICES];
static int slot(void *stream) { return (int)((size_t)stream / 2) & 63; }
void standin_busy(int device, void *stream) { busy[device][slot(stream)] = 1; }
int standin_is_busy(int device, void *stream) { return busy[device][slot(stream)]; }
static char captures[DEVICES][64];
void standin_captures(int device, void *stream, int on) {  // as torch.cuda.graph does, which forbids what may synchronise
  capturing += on - captures[device][slot(stream)], captures[device][slot(stream)] = on;
}
int standin_unmapped_under_work(void) { return unmapped_under_work; }
size_t standin_used(int device) { return used[device]; }

static int answer(const char *call, int error) {
  if (fails_in > 0 && !strcmp(call, failing) && --fails_in == 0) error = fails_with;
  if (error && !strncmp(call, "cuda", 4)) last_error = error;  // the runtime remembers; the driver does not
  return error;
}
#define TRY(error) do { int e_ = answer(__func__, error); if (e_) return e_; } while (0)

// Memory: cudaMalloc's addresses and handles of pages, with sizes.
static struct { size_t at, bytes; int device; } taken[LAST];
static size_t next_address = 1ul << 44, next_range = 1ul << 45, next_handle = 1;
static int take(size_t at, size_t bytes, int device) {
  if (bytes > total[device] - used[device]) return OUT;
  for (int i = 0; i < LAST; i++)
    if (!taken[i].at) { taken[i].at = at, taken[i].bytes = bytes, taken[i].device = device, used[device] += bytes; return 0; }
  abort();
}
static int give(size_t at) {
  for (int i = 0; i < LAST; i++)
    if (at && taken[i].at == at) { taken[i].at = 0, used[taken[i].device] -= taken[i].bytes; return taken[i].device; }
  return -1;
}
int cudaMalloc(void **at, size_t bytes) {
  TRY(take(next_address, bytes, current));
  *at = (void *)next_address, next_address += (bytes + 0x1fffff) & ~0x1ffffful;
  return 0;
}
int cudaFree(void *at) {
  TRY(capturing ? IN_CAPTURE : 0);
  int device = give((size_t)at);
  if (device >= 0) memset(busy[device], 0, sizeof busy[device]);  // it waits for the device
  return device < 0 ? answer(__func__, 1) : 0;
}
int cudaMemGetInfo(size_t *left, size_t *all) { TRY(0); *left = total[current] - used[current], *all = total[current]; return 0; }
int cuMemAddressReserve(size_t *at, size_t bytes, size_t a, size_t b, unsigned long long c) {
  (void)a, (void)b, (void)c; TRY(0);
  *at = next_range, next_range += (bytes + 0x1ffffff) & ~0x1fffffful;
  return 0;
}
int cuMemAddressFree(size_t at, size_t bytes) { (void)at, (void)bytes; TRY(0); return 0; }
int cuMemCreate(unsigned long long *handle, size_t bytes, const int *prop, unsigned long long flags) {
  (void)flags; TRY(take(next_handle, bytes, prop[3]));  // type, requestedHandleTypes, location.type, location.id
  *handle = next_handle++;
  return 0;
}
int cuMemRelease(unsigned long long handle) { TRY(0); return give(handle) < 0; }
static struct { size_t at; int device; } mapped[LAST];
int cuMemMap(size_t at, size_t bytes, size_t o, unsigned long long handle, unsigned long long f) {
  (void)bytes, (void)o, (void)f; TRY(0);
  int i = 0, t = 0;
  while (mapped[i].at) i++;
  while (taken[t].at != handle) t++;
  mapped[i].at = at, mapped[i].device = taken[t].device;
  return 0;
}
int cuMemUnmap(size_t at, size_t bytes) {
  (void)bytes; TRY(0);
  for (int i = 0; i < LAST; i++)
    if (mapped[i].at == at) {
      unmapped_under_work += memchr(busy[mapped[i].device], 1, 64) != NULL;  // it waits for nothing
      return mapped[i].at = 0;
    }
  return 1;
}
int cuMemSetAccess(size_t at, size_t bytes, const void *d, size_t n) { (void)at, (void)bytes, (void)d, (void)n; TRY(0); return 0; }
int cuMemGetAllocationGranularity(size_t *bytes, const void *p, int o) { (void)p, (void)o; TRY(0); *bytes = 2 << 20; return 0; }

// Devices, streams, events.
int cuDeviceGet(int *d, int ordinal) { TRY(0); *d = ordinal; return 0; }
int cuDeviceGetAttribute(int *value, int a, int d) { (void)a, (void)d; TRY(0); *value = 0; return 0; }
int cudaGetDeviceCount(int *n) { TRY(0); *n = DEVICES; return 0; }
int cudaGetDevice(int *d) { TRY(0); *d = current; return 0; }
int cudaSetDevice(int d) { TRY(d < 0 || d >= DEVICES ? 101 : 0); current = d; return 0; }
int cudaGetDeviceProperties(char *prop, int d) { TRY(0); memcpy(prop + 288, &total[d], 8); return 0; }  // totalGlobalMem
int cudaGetDeviceProperties_v2(char *prop, int d) { return cudaGetDeviceProperties(prop, d); }
int cudaDriverGetVersion(int *v) { TRY(0); *v = 13000; return 0; }
int cudaDeviceGetStreamPriorityRange(int *least, int *most) { TRY(0); *least = *most = 0; return 0; }
int cudaDeviceCanAccessPeer(int *can, int a, int b) { (void)a, (void)b; TRY(0); *can = 0; return 0; }
int cudaStreamCreateWithPriority(void **s, unsigned f, int p) {
  static size_t next = 2; (void)f, (void)p; TRY(0); *s = (void *)next, next += 2; return 0;
}
int cudaStreamSynchronize(void *s) { TRY(capturing ? IN_CAPTURE : 0); busy[current][slot(s)] = 0; return 0; }
int cudaDeviceSynchronize(void) { TRY(capturing ? IN_CAPTURE : 0); memset(busy[current], 0, 64); return 0; }
int cudaStreamQuery(void *s) { TRY(busy[current][slot(s)] ? NOT_READY : 0); return 0; }
int cudaStreamIsCapturing(void *s, int *status) { TRY(0); *status = captures[current][slot(s)]; return 0; }
int cudaStreamGetCaptureInfo(void *s, int *status) { return cudaStreamIsCapturing(s, status); }
int cudaStreamGetCaptureInfo_v2(void *s, int *status) { return cudaStreamIsCapturing(s, status); }
int cudaThreadExchangeStreamCaptureMode(int *mode) { (void)mode; TRY(0); return 0; }
struct event { int device, stream, waits; };
int cudaEventCreateWithFlags(struct event **e, unsigned f) { (void)f; TRY(0); *e = calloc(1, sizeof **e); return 0; }
int cudaEventDestroy(struct event *e) { TRY(0); free(e); return 0; }
int cudaEventRecord(struct event *e, void *s) {
  TRY(0); e->device = current, e->stream = slot(s), e->waits = busy[current][slot(s)]; return 0;
}
int cudaEventQuery(struct event *e) {
  TRY(capturing ? IN_CAPTURE : e->waits && busy[e->device][e->stream] ? NOT_READY : 0); return 0;
}
int cudaEventSynchronize(struct event *e) {
  TRY(capturing ? IN_CAPTURE : 0); if (e->waits) busy[e->device][e->stream] = 0; return 0;
}
int cudaGetLastError(void) { int e = last_error; last_error = 0; return e; }
const char *cudaGetErrorString(int e) {
  return e == OUT ? "out of memory" : e == IN_CAPTURE ? "operation not permitted when stream is capturing" : "error of the stand-in";
}
const char *cudaGetErrorName(int e) { return cudaGetErrorString(e); }
int cuGetErrorString(int e, const char **text) { *text = cudaGetErrorString(e); return 0; }
static int entry(const char *name, void **f, int *found) {
  *f = dlsym(RTLD_DEFAULT, name);
  if (found) *found = *f ? 0 : 1;
  return 0;
}
int cudaGetDriverEntryPoint(const char *name, void **f, unsigned long long o, int *found) { (void)o; return entry(name, f, found); }
int cudaGetDriverEntryPointByVersion(const char *name, void **f, unsigned v, unsigned long long o, int *found) {
  (void)v, (void)o; return entry(name, f, found);
}

// What is linked or looked up, and not needed here.
#define LACKS(name) int name(void) { return answer(#name, UNSUPPORTED); }
LACKS(cudaDeviceEnablePeerAccess) LACKS(cudaDeviceGetDefaultMemPool) LACKS(cudaEventElapsedTime) LACKS(cudaFreeAsync)
LACKS(cudaIpcCloseMemHandle) LACKS(cudaIpcOpenMemHandle) LACKS(cudaIpcGetMemHandle) LACKS(cudaMallocAsync)
LACKS(cudaMemPoolGetAttribute) LACKS(cudaMemPoolSetAccess) LACKS(cudaMemPoolSetAttribute) LACKS(cudaMemPoolTrimTo)
LACKS(cudaMemcpy) LACKS(cudaMemcpyAsync) LACKS(cudaMemcpyPeerAsync) LACKS(cudaStreamWaitEvent)
LACKS(cudaGraphNodeGetDependencies) LACKS(cudaGraphNodeGetType) LACKS(cudaGraphAddEmptyNode)
LACKS(cudaStreamUpdateCaptureDependencies) LACKS(cudaDeviceGetGraphMemAttribute) LACKS(cudaDeviceSetGraphMemAttribute)
LACKS(cuDeviceGetDevResource) LACKS(cuDevResourceGenerateDesc)
LACKS(cuDevSmResourceSplitByCount) LACKS(cuGreenCtxCreate) LACKS(cuGreenCtxDestroy) LACKS(cuGreenCtxStreamCreate)
LACKS(cuCtxFromGreenCtx) LACKS(cuCtxGetCurrent) LACKS(cuCtxPopCurrent) LACKS(cuCtxPushCurrent) LACKS(cuCtxSetCurrent)
LACKS(cuMemExportToShareableHandle) LACKS(cuMemImportFromShareableHandle) LACKS(cuMemGetAllocationPropertiesFromHandle)
LACKS(cuMemRetainAllocationHandle) LACKS(cuMemGetAddressRange) LACKS(cuMemsetD32Async) LACKS(cuMulticastAddDevice)
LACKS(cuMulticastBindMem) LACKS(cuMulticastCreate) LACKS(cuMulticastUnbind) LACKS(cuStreamWriteValue32)
LACKS(cuLogsRegisterCallback) LACKS(cuLogsUnregisterCallback)
// NVML is loaded and finds nothing: 2.13 and before look it up for the text of a refusal.
int nvmlInit_v2(void) { return 0; }
int nvmlDeviceGetGpuFabricInfoV(void *d, void *p) { (void)d, (void)p; return 0; }
int nvmlDeviceGetHandleByPciBusId_v2(const char *id, void **d) { (void)id; *d = d; return 0; }
int nvmlDeviceGetComputeRunningProcesses(void *d, unsigned *n, void *p) { (void)d, (void)p; *n = 0; return 0; }
LACKS(nvmlDeviceGetNvLinkRemoteDeviceType) LACKS(nvmlDeviceGetNvLinkRemotePciInfo_v2) LACKS(nvmlSystemGetCudaDriverVersion_v2)
