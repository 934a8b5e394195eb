#include <retinue/detail/threads/task_memory.hpp>

#include <array>
#include <cstdint>
#include <new>
#include <utility>

#include <retinue/detail/system/thread_order.hpp>

#include "short_lock.hpp"

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
constexpr std::uint32_t kExchangeBatches = 64;  // kept for trade; beyond that memory goes back to the system

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

void batch_to_system(Piece* piece) noexcept {
  while (piece != nullptr) {
    order_after(piece);
    to_system(std::exchange(piece, piece->next));
  }
}

Piece* batch_from_exchange(std::size_t size) noexcept {
  Exchange& exchange = exchanges[size];
  if (!exchange.lock.try_lock()) return nullptr;
  Piece* const batch = exchange.first;
  if (batch != nullptr) {
    exchange.first = batch->next_batch;
    --exchange.count;
  }
  exchange.lock.unlock();
  return batch;
}

void batch_to_exchange(std::size_t size, Piece* batch) noexcept {
  Exchange& exchange = exchanges[size];
  if (exchange.lock.try_lock()) {
    const bool room = exchange.count < kExchangeBatches;
    if (room) {
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
    }
  }
};

void register_thread_exit(ThreadStock& mine) noexcept {
  mine.exit_is_registered = true;
  thread_local ThreadExit at_exit;
  (void)at_exit;
}

}  // namespace

void* allocate_task_memory(std::size_t bytes) {
  if (bytes > kLargest) return from_system(bytes);
  const std::size_t size = (bytes - 1) / kGrain;
  Stock& stock = thread_stock.sizes[size];
  if (stock.first == nullptr) {
    stock.first = stock.full != nullptr ? std::exchange(stock.full, nullptr) : batch_from_exchange(size);
    if (stock.first == nullptr) return from_system((size + 1) * kGrain);
    stock.count = kBatch;
    if (!thread_stock.exit_is_registered) register_thread_exit(thread_stock);
  }
  --stock.count;
  order_after(stock.first);
  return std::exchange(stock.first, stock.first->next);
}

void free_task_memory(void* memory, std::size_t bytes) noexcept {
  ThreadStock& mine = thread_stock;
  if (bytes > kLargest || mine.has_ended) return to_system(memory);
  const std::size_t size = (bytes - 1) / kGrain;
  Stock& stock = mine.sizes[size];
  if (stock.count == kBatch) {
    if (stock.full != nullptr) batch_to_exchange(size, stock.full);
    stock.full = std::exchange(stock.first, nullptr);
    stock.count = 0;
  }
  if (!mine.exit_is_registered) register_thread_exit(mine);
  order_before(memory);
  stock.first = ::new (memory) Piece{stock.first, nullptr};
  ++stock.count;
}

}  // namespace retinue::detail
