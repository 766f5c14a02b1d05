// What can be seen of the allocator: its figures, its segments and blocks, and what it does to the device.
//
// Part of shim.cpp. Lays out words and decides nothing; asks the allocator nothing that changes it.

#pragma once

#include "shim.h"

#include <atomic>
#include <cstring>
#include <mutex>
#include <vector>

namespace {

// What the tracker has told, and what was handed out last: the caller reads that until it asks again.
std::mutex events_lock;
std::vector<int64_t> events, taken;
std::atomic<bool> history{false};
bool tracker_attached = false;

void track(const allocator::TraceEntry &entry) {
  if (!history) return;
#if SINCE(8)
  const MempoolId_t pool = entry.mempool_;
#else
  const MempoolId_t pool = {0, 0};
#endif
  const std::lock_guard<std::mutex> lock(events_lock);
  events.insert(events.end(), {number(entry.device_), number(entry.action_), number(entry.addr_), number(entry.size_),
                               number(entry.stream_), number(pool.first), number(pool.second)});
}

std::vector<int64_t> picture;

void add_segment(const allocator::SegmentInfo &segment) {
  picture.insert(picture.end(), {number(segment.device), number(segment.address), number(segment.total_size),
                                 number(segment.allocated_size), number(segment.active_size),
                                 number(segment.requested_size), number(segment.stream), number(segment.is_large),
                                 number(segment.owner_private_pool_id.first),
                                 number(segment.owner_private_pool_id.second), number(segment.is_expandable),
                                 number(segment.blocks.size())});
  size_t address = segment.address;
  for (const auto &block : segment.blocks) {
    const int64_t state = block.allocated ? 1 : block.active ? 2 : 0;
    picture.insert(picture.end(), {number(address), number(block.size), number(block.requested_size), state});
    address += block.size;
  }
}

constexpr size_t WORDS_OF_FAMILY = 12, WORDS_OF_STAT = 4;
static_assert(sizeof(decltype(allocator::DeviceStats::allocation)) == WORDS_OF_FAMILY * sizeof(int64_t));
static_assert(sizeof(decltype(allocator::DeviceStats::oversize_segments)) == WORDS_OF_STAT * sizeof(int64_t));

struct Writer {
  int64_t *out;
  size_t room, written = 0;
  void words(const void *from, size_t count) {
    if (written + count <= room) std::memcpy(out + written, from, count * sizeof(int64_t));
    written += count;
  }
  void word(int64_t value) { words(&value, 1); }
};

} // namespace

// The words of poolproof's `Stats`, in its memory's order: 9 families x (all, small pool, large pool) x (current, peak,
// allocated, freed) = 108; oversize allocations and segments x the same four = 8; num_alloc_retries, num_ooms,
// max_split_size, num_sync_all_streams, num_device_alloc, num_device_free = 6. Then, from 2.12 on, num_oom_rejections (word
// 122), and from 2.13 on 14 words for each entry of reserved_bytes_by_private_pools: pool id first, second, 3 x 4 words.
// `written` is what there was to write; only what fits into `room` whole stands in `out`.
EXPORT int pp_stats(int device, int64_t *out, size_t room, size_t *written) {
  return guarded([&] {
    const auto stats = allocator::getDeviceStats(static_cast<DeviceIndex>(device));
    Writer writer{out, room};
    for (const auto *family :
         {&stats.allocation, &stats.segment, &stats.active, &stats.inactive_split, &stats.allocated_bytes,
          &stats.reserved_bytes, &stats.active_bytes, &stats.inactive_split_bytes, &stats.requested_bytes}) {
      writer.words(family, WORDS_OF_FAMILY);
    }
    writer.words(&stats.oversize_allocations, WORDS_OF_STAT);
    writer.words(&stats.oversize_segments, WORDS_OF_STAT);
    for (const int64_t counter : {stats.num_alloc_retries, stats.num_ooms, stats.max_split_size,
                                  stats.num_sync_all_streams, stats.num_device_alloc, stats.num_device_free}) {
      writer.word(counter);
    }
#if SINCE(12)
    writer.word(stats.num_oom_rejections);
#endif
#if SINCE(13)
    for (const auto &[id, reserved] : stats.reserved_bytes_by_private_pools) {
      writer.word(number(id.first));
      writer.word(number(id.second));
      writer.words(&reserved, WORDS_OF_FAMILY);
    }
#endif
    *written = writer.written;
    return DONE;
  });
}

// 12 words a segment: device, address, total size, allocated size, active size, requested size, stream, is large, pool id
// first, second, is expandable, number of blocks; then 4 words for each of its blocks: address, size, requested size,
// state (0 inactive, 1 allocated, 2 waiting for streams). Ours until the next call. Where events are followed, PyTorch
// tells of the snapshot itself, too (action 7).
EXPORT int pp_snapshot(const int64_t **data, size_t *count) {
  return guarded([&] {
    picture.clear();
#if SINCE(11)
    const auto info = allocator::snapshot({0, 0}, false);
#else
    const auto info = allocator::snapshot();
#endif
    for (const auto &segment : info.segments) add_segment(segment);
    *data = picture.data();
    *count = picture.size();
    return DONE;
  });
}

// After pp_open, which makes the devices that a tracker is attached to.
EXPORT int pp_history(int on) {
  return guarded([&] {
    if (on != 0 && !tracker_attached) {
      allocator::attachAllocatorTraceTracker(track);
      tracker_attached = true;
    }
    history = on != 0;
    return DONE;
  });
}

// 7 words an event: device, action, address, size, stream, pool id first, second (0, 0 before 2.8, which does not tell).
// Actions are PyTorch's: 0 alloc, 1 free_requested, 2 free_completed, 3 segment_alloc, 4 segment_free, 5 segment_map,
// 6 segment_unmap, 7 snapshot, 8 oom (the address is the free bytes of the device), from 2.14 on 9 annotate. Ours until the next call.
EXPORT int pp_take_events(const int64_t **data, size_t *count) {
  return guarded([&] {
    taken.clear();
    const std::lock_guard<std::mutex> lock(events_lock);
    taken.swap(events);
    *data = taken.data();
    *count = taken.size();
    return DONE;
  });
}
