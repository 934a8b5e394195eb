#include <retinue/detail/tasks/task_memory.hpp>

#include <array>
#include <atomic>
#include <cstdint>
#include <new>
#include <sys/mman.h>
#include <utility>

#include <retinue/detail/system/thread_order.hpp>

#include "system/calls.hpp"
#include "system/short_lock.hpp"

// Pieces of memory, handed out from chunks of a quarter of a megabyte, so that a million tasks under way take a few thousand allocations.
// A piece goes round in the stocks of threads and the exchange between them; what these do not keep goes back to its chunk,
// which is freed with the last one.

// The address sanitizer sees a use after the end only in memory that is really freed.
#if defined(__SANITIZE_ADDRESS__)
#define RETINUE_RECYCLES 0
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define RETINUE_RECYCLES 0
#endif
#endif
#ifndef RETINUE_RECYCLES
#define RETINUE_RECYCLES 1
#endif

namespace retinue::detail {
namespace {

constexpr std::size_t kGrain = 64;
constexpr std::size_t kSizes = RETINUE_RECYCLES ? 4 : 0;
constexpr std::size_t kLargest = kGrain * kSizes;
constexpr std::uint32_t kBatch = 64;            // pieces that threads trade at once
constexpr std::uint32_t kExchangeBatches = 16;  // kept for trade; beyond that memory goes back to the system

constexpr std::size_t kSpan = 64 * 1024;
constexpr std::uint32_t kSpans = 4;  // in a chunk

/// One allocation, for pieces of one size.
struct Chunk {
  std::atomic<std::uint32_t> out;  ///< pieces that are handed out, or will be
};

/// The beginning of each aligned part of a chunk, by which a piece finds its chunk.
struct Span {
  Chunk* chunk;
};

/// Where a thread cuts its pieces.
struct Cut {
  Chunk* chunk = nullptr;
  std::byte* span = nullptr;
  std::byte* at = nullptr;   // the next piece
  std::byte* end = nullptr;  // of the last piece of this span
  std::uint32_t spans_left = 0;
};

struct Piece {
  Piece* next;
  Piece* next_batch;  // of the first piece of a batch in the exchange
};

struct Stock {
  Piece* first = nullptr;
  std::uint32_t count = 0;
  Piece* full = nullptr;  // a whole batch set aside, so that a thread at the border does not trade at each step
};

// What a thread keeps. Trivially destructible, so that reading it costs nothing; ThreadExit empties it.
struct ThreadStock {
  std::array<Stock, 4> sizes;
  std::array<Cut, 4> cuts;
  bool has_ended = false;
  bool exit_is_registered = false;
};
constinit thread_local ThreadStock thread_stock{};

// Where batches pass from threads that end tasks to threads that make them. Guarded by `lock`, which is only
// ever tried: whoever finds it taken uses the system's allocator instead.
struct Exchange {
  ShortLock lock;
  Piece* first = nullptr;
  std::uint32_t count = 0;
};
constinit std::array<Exchange, 4> exchanges{};

void* from_system(std::size_t bytes) { return ::operator new(bytes, std::align_val_t{kGrain}); }
void to_system(void* memory) noexcept { ::operator delete(memory, std::align_val_t{kGrain}); }

constexpr std::uint32_t pieces_of_span(std::size_t bytes) noexcept {
  return static_cast<std::uint32_t>((kSpan - kGrain) / bytes);
}

Chunk& chunk_of(const std::byte* piece) noexcept {
  return *std::launder(reinterpret_cast<const Span*>(piece - reinterpret_cast<std::uintptr_t>(piece) % kSpan))->chunk;
}

void drop(Chunk& chunk, std::uint32_t pieces) noexcept {
  order_before(&chunk);
  if (chunk.out.fetch_sub(pieces, std::memory_order_acq_rel) != pieces) return;
  order_after(&chunk);
  to_system(&chunk);
}

void batch_to_system(Piece* piece) noexcept {
  while (piece != nullptr) {
    auto* const memory = reinterpret_cast<std::byte*>(std::exchange(piece, piece->next));
    drop(chunk_of(memory), 1);
  }
}

void begin_span(Cut& cut, std::byte* span, std::size_t bytes) noexcept {
  ::new (span) Span{cut.chunk};
  cut.span = span;
  cut.at = span + kGrain;
  cut.end = cut.at + pieces_of_span(bytes) * bytes;
}

void begin_chunk(Cut& cut, std::size_t bytes) {
  auto* const memory = static_cast<std::byte*>(from_system(kGrain + (kSpans + 1) * kSpan));
  cut.chunk = ::new (memory) Chunk{kSpans * pieces_of_span(bytes)};
  cut.spans_left = kSpans - 1;
  const auto behind = reinterpret_cast<std::uintptr_t>(memory + kGrain) % kSpan;
  begin_span(cut, memory + kGrain + (kSpan - behind) % kSpan, bytes);
}

void* cut_piece(Cut& cut, std::size_t bytes) {
  if (cut.at == cut.end) {
    if (cut.spans_left == 0) {
      begin_chunk(cut, bytes);
    } else {
      --cut.spans_left;
      // Many tasks are under way: their memory in one call, not by a fault for each page. Where there is no such call it comes
      // with the faults.
      sys::madvise(cut.span + kSpan, kSpan, MADV_POPULATE_WRITE);
      begin_span(cut, cut.span + kSpan, bytes);
    }
  }
  return std::exchange(cut.at, cut.at + bytes);
}

// Gives up what has not been cut.
void end_cut(Cut& cut, std::size_t bytes) noexcept {
  const auto in_span = static_cast<std::uint32_t>(static_cast<std::size_t>(cut.end - cut.at) / bytes);
  const std::uint32_t uncut = in_span + cut.spans_left * pieces_of_span(bytes);
  if (uncut != 0) drop(*cut.chunk, uncut);
  cut = {};
}

[[gnu::noinline]] Piece* batch_from_exchange(std::size_t size) noexcept {
  Exchange& exchange = exchanges[size];
  if (!exchange.lock.try_lock()) return nullptr;
  Piece* const batch = exchange.first;
  if (batch != nullptr) {
    order_after(batch);
    exchange.first = batch->next_batch;
    --exchange.count;
  }
  exchange.lock.unlock();
  return batch;
}

[[gnu::noinline]] void batch_to_exchange(std::size_t size, Piece* batch) noexcept {
  Exchange& exchange = exchanges[size];
  if (exchange.lock.try_lock()) {
    const bool room = exchange.count < kExchangeBatches;
    if (room) {
      order_before(batch);
      batch->next_batch = exchange.first;
      exchange.first = batch;
      ++exchange.count;
    }
    exchange.lock.unlock();
    if (room) return;
  }
  batch_to_system(batch);
}

// Empties the stock of a thread that ends.
struct ThreadExit {
  ~ThreadExit() {
    ThreadStock& mine = thread_stock;
    mine.has_ended = true;
    for (std::size_t size = 0; size < kSizes; ++size) {
      if (mine.sizes[size].full != nullptr) batch_to_exchange(size, mine.sizes[size].full);
      batch_to_system(mine.sizes[size].first);
      mine.sizes[size] = {};
      end_cut(mine.cuts[size], (size + 1) * kGrain);
    }
  }
};

void register_thread_exit(ThreadStock& mine) noexcept {
  mine.exit_is_registered = true;
  thread_local ThreadExit at_exit;
  (void)at_exit;
}

// In a thread that has run its ThreadExit, where nothing may be kept.
void* only_piece(std::size_t bytes) {
  Cut cut;
  void* const piece = cut_piece(cut, bytes);
  end_cut(cut, bytes);
  return piece;
}

}  // namespace

void* allocate_task_memory(std::size_t bytes) {
  if (bytes > kLargest) return from_system(bytes);
  const std::size_t size = (bytes - 1) / kGrain;
  ThreadStock& mine = thread_stock;
  Stock& stock = mine.sizes[size];
  if (stock.first == nullptr) {
    if (mine.has_ended) return only_piece((size + 1) * kGrain);
    if (!mine.exit_is_registered) register_thread_exit(mine);
    stock.first = stock.full != nullptr ? std::exchange(stock.full, nullptr) : batch_from_exchange(size);
    if (stock.first == nullptr) return cut_piece(mine.cuts[size], (size + 1) * kGrain);
    stock.count = kBatch;
  }
  --stock.count;
  return std::exchange(stock.first, stock.first->next);
}

void free_task_memory(void* memory, std::size_t bytes) noexcept {
  if (bytes > kLargest) return to_system(memory);
  ThreadStock& mine = thread_stock;
  if (mine.has_ended) return drop(chunk_of(static_cast<std::byte*>(memory)), 1);
  const std::size_t size = (bytes - 1) / kGrain;
  Stock& stock = mine.sizes[size];
  if (stock.count == kBatch) {
    if (stock.full != nullptr) batch_to_exchange(size, stock.full);
    stock.full = std::exchange(stock.first, nullptr);
    stock.count = 0;
  }
  if (!mine.exit_is_registered) register_thread_exit(mine);
  stock.first = ::new (memory) Piece{stock.first, nullptr};
  ++stock.count;
}

}  // namespace retinue::detail
